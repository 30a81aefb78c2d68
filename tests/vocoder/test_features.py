"""Log-mel frames: where a tone and a click appear, and sizes that do not fit together."""

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.features import LogMel


def test_a_tone_is_loudest_in_the_band_around_it():
    """45 bands that are evenly spaced on the mel scale from 0 to 8 kHz: the middle of band b is (b + 1) / 46 of it."""
    mel = LogMel()
    time_s = torch.arange(16000) / mel.sample_rate
    for hz in (300.0, 1000.0, 4000.0):
        frames = mel(torch.sin(2 * torch.pi * hz * time_s)[None])
        share = np.log10(1 + hz / 700) / np.log10(1 + mel.f_max_hz / 700)
        assert int(frames[0, :, 100].argmax()) == pytest.approx(share * (mel.n_mels + 1) - 1, abs=1)


def test_a_click_is_loudest_in_the_frame_whose_samples_hold_it():
    x = torch.zeros(1, 4000)
    x[0, 20 * 80 + 40] = 1
    assert int(LogMel()(x)[0].mean(0).argmax()) == 20


def test_zeros_behind_the_signal_change_no_frame():
    mel, x = LogMel(), torch.randn(1, 1000)
    padded = torch.nn.functional.pad(x, (0, 500))
    assert torch.equal(mel(padded)[..., :12], mel(x)[..., :12])
    assert mel(x).shape == (1, 45, 13) and mel.n_samples(13) == 1040
    assert torch.equal(mel(torch.zeros(1, 80)), torch.full((1, 45, 1), 1e-10).log())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="hop_length 500, win_length 400, n_fft 512: none may be smaller"):
        LogMel(hop_length=500)
    with pytest.raises(ConfigError, match="f_max_hz 9000 is above half of sample_rate 16000"):
        LogMel(f_max_hz=9000)
