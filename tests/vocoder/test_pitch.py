"""F0 read from frames: by the shipped weights from made voices, and by answers known beforehand."""

import math

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.pitch import BINS, FEATURES, REACH, PitchNetwork, bin_centres_hz, bin_odds, decoded
from tests.support.tones import vowel


@pytest.fixture(scope="module")
def network():
    network = PitchNetwork()
    network.load_state_dict(pitch.shipped(FEATURES))
    return network.eval()


@pytest.mark.parametrize("f0_hz", [180, 220, 330])
def test_it_reads_the_pitch_of_a_made_voice_at_any_level(network, f0_hz):
    x = vowel(f0_hz, 16000)  # a voice below 150 Hz has harmonics that 25 ms hardly tell apart
    for level in (0.3, 0.03):
        found = network.read(FEATURES(torch.as_tensor(level * x)[None]))
        inner = slice(20, -20)
        assert found.voiced[0, inner].min() > 0.5
        assert found.f0_hz[0, inner].median().item() == pytest.approx(f0_hz, rel=0.04)


def test_hiss_and_silence_have_no_voice(network):
    hiss = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    for x in (hiss, np.zeros(16000, np.float32)):
        assert network.read(FEATURES(torch.as_tensor(x)[None])).voiced[0, 20:-20].max() < 0.5


def test_a_frame_depends_on_those_within_reach_alone(network):
    log_mel = torch.randn(1, 45, 100, generator=torch.manual_seed(0)) - 5
    changed = log_mel.clone()
    changed[:, :, 50] += 5
    differs = (network.read(log_mel).voiced != network.read(changed).voiced)[0].nonzero().flatten()
    assert 50 - REACH <= differs.min() < 50 < differs.max() <= 50 + REACH


def test_the_likeliest_bin_and_its_neighbours_decide_and_a_frame_in_doubt_takes_the_octave_around_it():
    f0_hz = torch.full((1, 9), 150.0)
    odds = bin_odds(f0_hz).clamp_min(1e-6).log()
    octave = bin_odds(2 * f0_hz).clamp_min(1e-6).log()
    odds[:, :, 4] = torch.maximum(odds[:, :, 4], octave[:, :, 4] + 0.2)  # a little likelier there
    found = decoded(odds)
    assert torch.allclose(found.f0_hz, f0_hz, rtol=0.01) and found.voiced.min() > 0.99
    assert decoded(bin_odds(torch.zeros(1, 9)).clamp_min(1e-6).log()).voiced.max() < 0.01
    assert bin_centres_hz()[0].item() == pytest.approx(60) and bin_centres_hz()[-1].item() == pytest.approx(500)
    assert 1200 * math.log2(bin_centres_hz()[1] / bin_centres_hz()[0]) == pytest.approx(51.7, abs=0.1)
    assert len(bin_centres_hz()) == BINS


def test_frames_of_other_settings_are_refused_with_both_values():
    with pytest.raises(ConfigError, match=r"features\.n_mels is 80, and .* trained with 45; set sizes\.harmonics=0"):
        pitch.shipped(LogMel(n_mels=80))


def test_in_half_precision_it_reads_the_same(network):
    log_mel = FEATURES(torch.as_tensor(vowel(200, 8000))[None])
    with torch.autocast("cpu", torch.bfloat16):
        inside = network.read(log_mel)
    assert torch.equal(inside.f0_hz, network.read(log_mel).f0_hz)
