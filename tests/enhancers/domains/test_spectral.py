"""Spectral domains: the transform and its inverse."""

import pytest
import torch

from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.table import method

STFT = spectral.Stft(320, 160)


@pytest.mark.parametrize("n_samples", [1, 159, 160, 161, 16000, 16001])
def test_stft_inverts_at_every_length(n_samples):
    x = torch.randn(2, n_samples)
    assert torch.allclose(STFT.inverse(STFT(x), n_samples), x, atol=1e-5)  # float32 round-off of two FFTs


def test_stft_of_a_tone_peaks_in_its_bin():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None]
    assert int(STFT(tone)[0, 50].abs().argmax()) == 1000 * 320 // 16000


def test_inverse_refuses_other_frame_counts():
    with pytest.raises(ValueError, match="101 frames, 8000 samples need 51"):
        STFT.inverse(STFT(torch.zeros(1, 16000)), 8000)


@pytest.mark.parametrize(("name", "wanted"), [("pl-crnn", 6.0), ("pl-dnn", 3.0), ("pl-lstm", 3.0)])
def test_the_result_is_the_last_stage_or_the_mean_of_all(name, wanted):
    output = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert method(name).domain.estimate(output, torch.ones(1, 1, 1, dtype=torch.complex64)).abs().item() == wanted


def test_squares_of_half_overlapping_root_hann_windows_add_up_to_one():
    window = spectral.Stft(512, 256, "sqrt_hann").window_of(torch.zeros(1))
    assert torch.allclose(window.square().view(2, 256).sum(0), torch.ones(256), atol=1e-6)
