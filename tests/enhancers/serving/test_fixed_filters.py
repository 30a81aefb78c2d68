"""Resampling and transform as fixed layers: tones pass or vanish, and bins are those of the FFT."""

import math

import pytest
import torch

from clean_corpus.enhancers.serving.fixed_filters import RATIO, REACH, Dft, Down, Up


@pytest.mark.parametrize(("hz", "kept"), [(100, 1.0), (7300, 1.0), (8000, 0.0), (12000, 0.0), (23000, 0.0)])
def test_tones_below_the_transition_come_back_and_those_above_vanish(hz, kept):
    x = torch.sin(2 * math.pi * hz * torch.arange(4800, dtype=torch.float64) / 48000).float()[None]
    low = Down()(x)
    there_and_back = Up()(low)
    begin = RATIO * 2 * REACH
    assert low.shape == (1, 4800 // RATIO - 2 * REACH)
    wanted = kept * x[:, begin : begin + there_and_back.shape[1]]
    assert (there_and_back - wanted).abs().max() < 4e-5  # the filter's ripple is 1e-5 each way


@pytest.mark.parametrize(("n_fft", "rows", "first_bin"), [(1536, 32, 224), (1536, 32, 230), (512, 16, 0)])
def test_bins_are_those_of_the_fft_and_return_their_part_of_the_frame(n_fft, rows, first_bin):
    dft, frames = Dft(n_fft, rows=rows, first_bin=first_bin), torch.randn(3, n_fft, dtype=torch.float64)
    wanted = torch.fft.rfft(frames)
    real, imag = dft.analyse(frames.float())
    assert torch.allclose(torch.complex(real, imag).to(wanted.dtype), wanted[:, first_bin:], atol=1e-4)  # of about 40
    wanted[:, :first_bin] = 0
    assert torch.allclose(dft.synthesise(real, imag).double(), torch.fft.irfft(wanted, n=n_fft), atol=1e-5)


def test_rows_that_do_not_divide_a_frame_are_refused():
    with pytest.raises(ValueError, match="frames of 512 samples do not fill 48 rows"):
        Dft(512, rows=48)
