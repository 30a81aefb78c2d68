"""The band above a 16 kHz enhancer under a network's gains: gains of 1 return it at any rate, of 0 take it away."""

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.enhancers.serving import any_rate
from clean_corpus.enhancers.serving.any_rate import AnyRate
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.enhancers.training.split_pairs import split
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.audio.synthetic import mix_at_snr
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.quality.signal_measures import si_sdr_db


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


def enhanced(gain, x, rate, network=None):
    upper = UpperBand(network or Constant(gain), HighBand(), sha256="")
    return AnyRate(Untouched(), rate, high_band=upper)(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0].numpy()


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


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


def test_weights_are_loaded_by_path_and_those_of_other_networks_refused(upper_band_weights):
    upper = UpperBand.load(str(upper_band_weights))
    x, low = noise(4800), noise(1600)
    (result,) = upper([low], [low], [x], 16000, 48000, [0.1])
    assert result.shape == x.shape and 0.5 < np.square(result).sum() / np.square(x).sum() < 1
    with pytest.raises(ValueError, match="the lower band has 8000 Hz, the network was trained with 16000"):
        upper([low], [low], [x], 8000, 48000, [0.1])
    with pytest.raises(ConfigError, match="works by itself: for the band above 8 kHz expected full-band"):
        UpperBand.load("default")


def test_a_long_signal_is_heard_at_one_level(monkeypatch):
    """Its first seconds are 40 dB louder: what follows them sounds as faint to the network in every stretch."""
    x = noise(8 * 24000)
    x[: 3 * 24000] *= 100
    heard = []

    class Listening(Constant):
        def forward(self, bands, bins):
            heard.append(bins[:, :, -50:-10, 40:80].mean().item())
            return super().forward(bands, bins)

    enhanced(1.0, x, 24000, Listening(1.0))
    monkeypatch.setattr(any_rate, "STRETCH_S", 2)
    enhanced(1.0, x, 24000, Listening(1.0))
    assert len(heard) == 5 and np.ptp(heard[-2:] + heard[:1]) < 0.02, heard


@pytest.mark.parametrize("sharp", [False, True])
def test_those_who_share_a_batch_and_the_rate_of_the_frames_change_nothing(upper_band_weights, sharp):
    upper = UpperBand.load(str(upper_band_weights))
    if sharp:  # a trained one tells the bins of a band apart, and looks at the frame before and the one behind
        nn.init.normal_(upper.network.sharpen.weight)
    lows, highs = [noise(3200), noise(8000), noise(1)], [noise(4800), noise(12000), noise(2)]
    together = upper(lows, [0.3 * x for x in lows], highs, 16000, 24000, [0.1] * 3)
    alone = [upper([low], [0.3 * low], [high], 16000, 24000, [0.1])[0] for low, high in zip(lows, highs, strict=True)]
    assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(together, alone, strict=True))


def test_a_band_limited_signal_gets_the_same_gains_at_every_rate(upper_band_weights):
    """Frames at 24 kHz, at 48 kHz and by way of it: resampling is no part of what the network decides."""
    upper = UpperBand.load(str(upper_band_weights))
    spectrum = np.fft.rfft(noise(48000))
    spectrum[(hz := np.fft.rfftfreq(48000, 1 / 48000)) > 10500] = 0
    low, high = spectrum * (hz < 7500), spectrum * (hz > 7500)
    found = {}
    for rate in (24000, 44100, 48000):
        given = [
            np.fft.irfft(x[: r // 2 + 1], r).astype(np.float32) * r / 48000 for x, r in ((low, 16000), (high, rate))
        ]
        (treated,) = upper([given[0]], [0.3 * given[0]], [given[1]], 16000, rate, [0.1])
        found[rate] = resample(treated, rate, 48000)[4800:-4800]
    for rate in (24000, 44100):
        error = np.square(found[rate] - found[48000]).sum() / np.square(found[48000]).sum()
        assert 10 * np.log10(error) < -35, rate


@pytest.mark.parametrize("rate", [22050, 48000])
def test_energy_is_never_added(upper_band_weights, rate):
    upper = UpperBand.load(str(upper_band_weights))
    x, low = noise(rate), noise(16000)
    (treated,) = upper([low], [0.1 * low], [x], 16000, rate, [0.1])
    (nothing,) = upper([low], [low], [np.zeros_like(x)], 16000, rate, [0.1])
    assert np.square(treated).sum() < np.square(x).sum() and not nothing.any()


@pytest.mark.parametrize("name", [name for name in checkpoints.UPPER_BAND_METHODS if checkpoints.is_shipped(name)])
def test_shipped_weights_take_noise_and_leave_speech(name, real_data, benchmark):
    """Utterances that they never heard, in rain and alone; the network below is one that leaves nothing but speech."""
    upper = UpperBand.load(name)
    noise, rate = soundfile.read(next((real_data / "noise_44k" / "dev" / "rain").glob("*.ogg")), dtype="float32")
    preparing = benchmark("full_band_data")
    held_out = [path for path in preparing.recordings(real_data, "english_48k") if preparing.is_held_out(path)][:3]
    gains = []
    for path in held_out:
        clean, _ = soundfile.read(path, dtype="float32")
        noisy = mix_at_snr(clean, np.resize(resample(noise, rate, 48000), len(clean)), 5.0)
        (high, low), (clean_high, clean_low) = split(noisy), split(clean)
        (mended,) = upper([low], [clean_low], [high], 16000, 48000, [rms(low)])
        (left,) = upper([clean_low], [clean_low], [clean_high], 16000, 48000, [rms(clean_low)])
        gains.append(si_sdr_db(mended, clean_high) - si_sdr_db(high, clean_high))
        assert si_sdr_db(left, clean_high) > 30, path.name
    assert min(gains) > 2, gains
