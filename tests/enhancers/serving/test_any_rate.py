"""Enhancers at other rates than their network's: what a network that changes nothing, or takes all, must give."""

import numpy as np
import pytest
import torch

from clean_corpus.enhancers.serving import any_rate
from clean_corpus.enhancers.serving.any_rate import AnyRate, at_rate
from clean_corpus.enhancers.serving.high_band import MILDNESS, band_gains, extrapolated
from clean_corpus.pipeline.audio.resample import resample
from tests.support import golden, signals

RATES = (8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000)


class Network:
    """A network at 16 kHz that multiplies, and says what it was given."""

    sample_rate = 16000

    def __init__(self, gain=1.0):
        self.gain, self.lengths = gain, []

    def __call__(self, noisy, lengths):
        self.lengths += lengths.tolist()
        assert not any(row[n:].any() for row, n in zip(noisy, lengths.tolist(), strict=True)), "padding is silent"
        return self.gain * noisy


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    waves = torch.zeros(len(lengths), max(lengths) + 5)
    for i, n in enumerate(lengths):
        waves[i, :n] = torch.from_numpy(noise(n, i))
    return waves, torch.tensor(lengths)


@pytest.mark.parametrize("rate", RATES)
def test_a_network_that_changes_nothing_gives_back_signals_of_any_length(rate):
    network = Network()
    noisy, lengths = batch([1, 2, 777, 0, rate + 17])
    result = AnyRate(network, rate)(noisy, lengths)
    assert (result - noisy).abs().max() < 1e-6 and result.shape == noisy.shape
    assert network.lengths == [-(-n * 16000 // rate) for n in lengths.tolist()]


@pytest.mark.parametrize("rate", [22050, 48000])
def test_long_signals_go_through_in_stretches_without_a_seam(monkeypatch, rate):
    noisy, lengths = batch([9 * rate + 11])
    whole = AnyRate(Network(0.5), rate)(noisy, lengths)
    monkeypatch.setattr(any_rate, "STRETCH_S", 2)
    monkeypatch.setattr(any_rate, "BLOCK_S", 1)
    parts = AnyRate(Network(0.5), rate)(noisy, lengths)
    assert (parts - whole).abs().max() < 1e-5 and (AnyRate(Network(), rate)(noisy, lengths) - noisy).abs().max() < 1e-6


def test_what_a_network_takes_below_goes_above_too_and_nothing_jumps():
    rate = 48000
    sweep = signals.tone(6500, 2.0, rate) + signals.tone(15000, 2.0, rate)
    low = resample(sweep, rate, 16000)
    out = low.copy()
    out[16000:] *= 0.1
    high = sweep - resample(low, 16000, rate)
    treated = extrapolated(low, out, high, 16000, rate)
    gain_db = [10 * np.log10(np.mean(treated[part] ** 2) / np.mean(high[part] ** 2)) for part in
               (slice(4000, rate - 2000), slice(rate + 2000, 2 * rate - 4000))]  # fmt: skip
    assert gain_db == pytest.approx([0, -20 * MILDNESS], abs=0.3), "milder than the network was below"
    _, gains = band_gains(low, out, 16000, top_hz=8000)
    curve = treated[5000:-5000] / np.where(np.abs(high[5000:-5000]) > 0.02, high[5000:-5000], np.nan)
    assert np.nanmax(np.abs(np.diff(curve))) < 0.01, "no click where the gain falls by 20 dB"
    assert gains.min() >= 0 and gains.max() <= 1


def test_a_signal_comes_back_where_it_was_whatever_the_network_takes_above():
    rate = 44100
    noisy = torch.zeros(1, rate)
    noisy[0, 20000] = 0.9
    result = AnyRate(Network(0.25), rate)(noisy, torch.tensor([rate]))[0].numpy()
    assert np.argmax(np.abs(result)) == 20000


def test_a_network_at_its_own_rate_is_left_alone():
    network = Network()
    assert at_rate(network, 16000) is network and at_rate(network, 24000).sample_rate == 24000
    with pytest.raises(ValueError, match="length 9 exceeds the batch's 8 samples"):
        at_rate(network, 24000)(torch.zeros(1, 8), torch.tensor([9]))


def test_samples_of_a_fixed_recording(monkeypatch):
    """A network that halves what is loud: the split, the gain and the version that names them."""
    from clean_corpus.enhancers.serving.identity import BAND_SPLIT_VERSION

    x, rate = golden.samples()
    x = resample((x[:, 0] / 32768).astype(np.float32), rate, 48000)

    def network(noisy, lengths):
        return torch.where(noisy.abs() > 0.05, noisy / 2, noisy)

    network.sample_rate = 16000
    noisy = torch.from_numpy(x)[None]
    result = AnyRate(network, 48000)(noisy, torch.tensor([len(x)]))[0].numpy()
    golden.check("band split", BAND_SPLIT_VERSION, "enhancers/serving/identity.py", {"shape": list(result.shape)},
                 {"samples": (golden.sketch(result), 1e-5)})  # fmt: skip
