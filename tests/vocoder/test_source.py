"""The source of voiced speech: its phase is that of the recording, and its period is looked back on."""

import math

import numpy as np
import pytest
import torch

from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.features import SILENCE
from clean_corpus.vocoder.pitch import F0_RANGE_HZ, FEATURES, REACH
from clean_corpus.vocoder.source import (
    HIDDEN,
    LOOKED_BACK,
    RATE,
    TAPS,
    Source,
    Voice,
    a_period_ago,
    compressed,
    locked,
    running_phase,
)
from tests.support.tones import vowel
from tests.support.wavenets import small_wavenet


def wrapped(phase):
    return torch.remainder(phase + math.pi, 2 * math.pi) - math.pi


@pytest.mark.parametrize("followed_hz", [180.0, 186.0])
def test_a_phase_is_shifted_to_that_of_the_recording(followed_hz):
    """A tone of 180 Hz that begins at 1 radian, and F0 that is right, or 3 % too high."""
    time = torch.arange(8000) / RATE
    true = 2 * math.pi * 180 * time + 1.0
    x = 0.3 * true.cos() + 0.1 * (2 * true + 0.5).cos()
    phase = locked(running_phase(torch.full((1, 100), followed_hz), 80), x[None])
    assert wrapped(phase[0] - true)[400:-400].abs().max() < 0.06


def test_what_is_a_period_ago_is_faded_and_silent_before_the_start():
    x = torch.linspace(-0.5, 0.5, 50)[None]
    voice = Voice(torch.zeros(1, 50), torch.full((1, 50), 0.5), torch.full((1, 50), 40))
    found = a_period_ago(x, voice)
    assert found.shape == (1, 50, TAPS)
    assert torch.equal(found[0, 45], 0.5 * compressed(x[0, 2:9])) and not found[0, :37].any()
    assert compressed(torch.tensor([1.0, -1.0, 0.0])).tolist() == pytest.approx([2, -2, 0])


def test_all_samples_looked_back_on_lie_in_the_past_and_are_kept():
    from clean_corpus.vocoder.generation.kernels import cpu

    assert RATE / F0_RANGE_HZ[1] > TAPS // 2 + 1 and LOOKED_BACK + 1 < cpu.PAST


def test_a_fresh_source_adds_nothing_and_an_unvoiced_sample_has_no_phase():
    torch.manual_seed(0)
    source = Source(45, 4, stacks=3, channels=8)
    past, phase = torch.randn(2, 10, TAPS), torch.randn(2, 10)
    voice = Voice(phase, torch.zeros(2, 10), torch.full((2, 10), 50))
    assert source(source.phases(voice), past).shape == (2, 10, 3, 8) and not source(source.phases(voice), past).any()
    assert source.phases(voice).shape == (2, 10, HIDDEN)
    assert torch.allclose(source.phases(voice), source.hidden.bias.expand(2, 10, HIDDEN))
    loud = source.phases(voice._replace(voiced=torch.ones(2, 10)))
    turned = source.phases(Voice(phase + 2 * math.pi, torch.ones(2, 10), voice.period))
    assert torch.allclose(loud, turned, atol=1e-5) and not torch.allclose(loud, source.phases(voice), atol=0.01)


def test_a_recording_and_its_frames_have_one_voice():
    """Segments and whole utterances, with and without the recording, agree but for the phase that it is locked to."""
    source = Source(45, 4, stacks=2, channels=8)
    source.pitch.load_state_dict(pitch.shipped(FEATURES))
    x = torch.as_tensor(vowel(200, 16000))[None]
    log_mel = torch.nn.functional.pad(FEATURES(x), (REACH + 1, REACH + 1), value=SILENCE)
    whole = source.heard(x, log_mel, 80, REACH + 1)
    part = source.heard(x[:, 4000:8000], log_mel[:, :, 50 : 100 + 2 * (REACH + 1)], 80, REACH + 1)
    for name in ("voiced", "period"):
        assert torch.allclose(getattr(part, name), getattr(whole, name)[:, 4000:8000], atol=1e-4), name
    inner = slice(400, -400)  # beyond, the window that locks the phase hears less of the part
    assert wrapped(part.phase - whole.phase[:, 4000:8000])[:, inner].abs().max() < 0.02
    spoken = source.spoken(FEATURES(x), 80)
    assert torch.equal(spoken.period[:, 4000:12000], whole.period[:, 4000:12000])
    assert whole.period[0, 8000].item() == pytest.approx(RATE / 200, abs=4)


def test_the_likelihood_hears_the_source_of_the_recording():
    """With a source that is not fresh the likelihood of a voice changes, that of a hiss by far less."""
    plain, sourced = small_wavenet(upsampling=(5,), conditioning_hop=16), small_wavenet(
        upsampling=(5,), conditioning_hop=16, harmonics=4
    )  # fmt: skip
    assert not sourced.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    sourced.source.pitch.load_state_dict(pitch.shipped(FEATURES))
    hiss = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    changes = []
    with torch.no_grad():
        sourced.source.output.bias.zero_()
        sourced.source.hidden.bias.zero_()
        for x in (torch.as_tensor(wave)[None] for wave in (vowel(200, 8000), hiss)):
            changes.append((plain.nll(x, FEATURES(x)) - sourced.nll(x, FEATURES(x))).abs()[:, 2000:-2000].mean())
    assert changes[0] > 0.005 and changes[0] > 5 * changes[1], changes
