"""The equaliser gives speech the slow spectrum of its frames, and nothing else."""

import pytest
import torch

from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.generation import equaliser
from clean_corpus.vocoder.generation.equaliser import equalised

MEL = LogMel()


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(round(seconds * 16000 / 80) * 80, generator=torch.manual_seed(seed))


def bands_db(x: torch.Tensor) -> torch.Tensor:
    """Mean energy of each mel band of a signal."""
    return 10 * MEL(x[None])[0].exp().mean(1).log10()


def test_speech_with_the_spectrum_of_its_frames_stays_as_it_is():
    x = noise(1)
    assert torch.equal(equalised(x, MEL(x[None])[0] + 1, MEL, 0), x)
    assert torch.allclose(equalised(x, MEL(x[None])[0], MEL, 100), x, atol=1e-6)


def test_what_lacks_above_is_given_back():
    """The sum of neighbours tilts noise by 20 dB up to the last band; frames of flat noise take that back."""
    x, wanted = noise(2), noise(2, seed=1)
    dull = torch.cat((x[:1], x[1:] + 0.95 * x[:-1]))
    assert (bands_db(dull) - bands_db(wanted)).abs().max() > 12
    got = equalised(dull, MEL(wanted[None])[0], MEL, 100)
    assert (bands_db(got) - bands_db(wanted)).abs().max() < 1.5  # the last band ends in a null


def test_no_band_is_raised_or_lowered_by_more_than_20_db():
    x = noise(1)
    for factor, db in ((100, 20), (0.001, -20)):
        gained = bands_db(equalised(x, MEL(factor * x[None])[0], MEL, 100)) - bands_db(x)
        assert gained == pytest.approx(torch.full((45,), db), abs=0.1)


def test_changes_within_the_window_are_the_networks():
    """Frames that pulse 20 times a second do not make noise pulse in 200 ms; over 10 ms they do."""
    x = noise(1)
    pulses = x * (torch.arange(len(x)) // 400 % 2)  # 25 ms on, 25 ms off

    def depth_db(window_ms: float) -> float:
        got = equalised(x, MEL(pulses[None])[0], MEL, window_ms).unfold(0, 400, 400).square().mean(1)[4:-4]
        return (10 * (got[1::2].mean() / got[::2].mean()).log10()).item()

    assert depth_db(200) < 1
    assert depth_db(10) > 6


@pytest.mark.parametrize("frames", [10, 64, 333])
def test_pieces_of_a_long_recording_are_filtered_as_one(monkeypatch, frames):
    x, wanted = noise(2), MEL((noise(2, seed=1) * torch.linspace(0, 2, 32000))[None])[0]
    whole = equalised(x, wanted, MEL, 100)
    monkeypatch.setattr(equaliser, "FRAMES", frames)
    assert torch.allclose(equalised(x, wanted, MEL, 100), whole, atol=1e-5)


@pytest.mark.parametrize("n_frames", [0, 1, 2, 7])
def test_the_shortest_speech_is_filtered_too(n_frames):
    x = noise(1)[: 80 * n_frames]
    got = equalised(x, torch.zeros(45, n_frames), MEL, 100)
    assert got.shape == x.shape and got.isfinite().all()
