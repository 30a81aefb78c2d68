"""The band above a 16 kHz enhancer under a network's gains: gains of 1 return it at any rate, of 0 take it away."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.enhancers.serving.any_rate import AnyRate
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.core.errors import ConfigError


class Constant(nn.Module):
    """Gives every bin one gain."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, bands, bins):
        return torch.full_like(bins, self.gain)


class Untouched:
    """A network at 16 kHz that changes nothing."""

    sample_rate = 16000

    def __call__(self, noisy, lengths):
        return noisy


def enhanced(gain, x, rate):
    upper = UpperBand(Constant(gain), HighBand(), sha256="")
    return AnyRate(Untouched(), rate, high_band=upper)(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0].numpy()


def noise(n):
    return (0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize("rate", [22050, 24000, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize("seconds", [0.0001, 0.7])
def test_gains_of_one_return_the_signal(rate, seconds):
    x = noise(max(1, round(seconds * rate)))
    assert np.abs(enhanced(1.0, x, rate) - x).max() < 1e-5


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_gains_of_zero_leave_the_band_below_alone(rate):
    x = noise(rate)
    spectra = [
        np.abs(np.fft.rfft(y[rate // 10 : -rate // 10] * np.hanning(round(0.8 * rate))))
        for y in (x, enhanced(0, x, rate))
    ]
    hz = np.fft.rfftfreq(round(0.8 * rate), 1 / rate)
    above, below = (hz > 8200) & (hz < 0.43 * rate), hz < 6900
    left = [float(np.sqrt(np.mean(spectra[1][band] ** 2) / np.mean(spectra[0][band] ** 2))) for band in (above, below)]
    assert left[0] < 0.01 and left[1] == pytest.approx(1, abs=0.01)


def test_weights_are_loaded_by_path_and_those_of_other_networks_refused(tmp_path):
    torch.manual_seed(0)
    save_file(table.method("full-band").build().state_dict(), tmp_path / "upper.safetensors")
    (tmp_path / "upper.json").write_text(json.dumps({"name": "upper", "method": "full-band", "sizes": {}}))
    upper = UpperBand.load(str(tmp_path / "upper.safetensors"))
    x, low = noise(4800), noise(1600)
    result = upper(low, low, x, 16000, 48000)
    assert result.shape == x.shape and 0.5 < np.square(result).sum() / np.square(x).sum() < 1
    with pytest.raises(ValueError, match="the lower band has 8000 Hz, the network was trained with 16000"):
        upper(low, low, x, 8000, 48000)
    with pytest.raises(ConfigError, match="works by itself: expected a full-band"):
        UpperBand.load("default")
