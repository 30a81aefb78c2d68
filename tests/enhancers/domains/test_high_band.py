"""The domain above 8 kHz: levels and padding do not matter, nothing is added, and silence stays silence."""

import numpy as np
import pytest
import torch
from torch import nn

from clean_corpus.enhancers.domains.high_band import RATE, HighBand, Split
from clean_corpus.enhancers.models.full_band import FullBand
from clean_corpus.enhancers.training.split_pairs import split

DOMAIN = HighBand()


def noise(seconds=0.5, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1


def batch(*signals):
    """Return the Split of signals, each with its lower band untouched, and their lengths."""
    parts = [split(x) for x in signals]
    n = max(map(len, signals))
    high, low = torch.zeros(len(signals), n), torch.zeros(len(signals), n // 3)
    for row, (upper, lower) in enumerate(parts):
        high[row, : len(upper)], low[row, : len(lower)] = torch.from_numpy(upper), torch.from_numpy(lower)
    return Split(high, low, low.clone()), torch.tensor([len(x) for x in signals])


class Constant(nn.Module):
    """Gives every bin one gain."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, bands, bins):
        return torch.full_like(bins, self.gain)


def test_a_gain_of_one_returns_the_band_and_of_half_half_of_it():
    pair, lengths = batch(noise())
    assert torch.allclose(DOMAIN.enhance(Constant(1.0), pair, lengths), pair.high, atol=1e-6)
    middle = slice(RATE // 10, -RATE // 10)  # the sudden ends of the signal reach below the band
    for gain in (0.5, 0.0):
        error = DOMAIN.enhance(Constant(gain), pair, lengths) - gain * pair.high
        assert error[:, middle].square().mean().sqrt() < 0.01 * pair.high[:, middle].square().mean().sqrt()


def test_what_is_seen_does_not_depend_on_the_level():
    seen = []
    for gain in (1.0, 0.01):
        pair, lengths = batch(gain * noise())
        spectra = DOMAIN._spectra(pair, DOMAIN.level_of(pair, lengths))
        seen.append(DOMAIN.features(*spectra))
    for loud, soft in zip(*seen, strict=True):
        assert torch.allclose(loud, soft, atol=3e-3)  # of 2.6: logarithms of what rounds


def test_a_cut_of_the_lower_band_is_seen_as_its_gain():
    pair, lengths = batch(noise())
    halved = pair._replace(low_estimate=0.5 * pair.low)
    level = DOMAIN.level_of(pair, lengths)
    plain, half = (DOMAIN.features(*DOMAIN._spectra(p, level))[0][0, 0, 5] for p in (pair, halved))
    assert plain[20:40] == pytest.approx(torch.full((20,), 2.0)) and half[20:40] == pytest.approx(
        torch.zeros(20), abs=1e-5
    )
    assert torch.equal(plain[:20], half[:20]) and torch.equal(plain[40:], half[40:])


def test_a_tone_lies_in_the_band_of_its_frequency():
    t = np.arange(RATE // 2) / RATE
    pair, lengths = batch((noise() * 1e-3 + 0.1 * np.sin(2 * np.pi * 12_250 * t)).astype(np.float32))
    bands, bins = DOMAIN.features(*DOMAIN._spectra(pair, DOMAIN.level_of(pair, lengths)))
    assert int(bands[0, 0, 10, 40:].argmax()) == 10  # 12 to 12.5 kHz, counted from 7
    assert int(bins[0, 0, 10].argmax()) == 168  # 12.25 kHz


def test_the_companions_of_a_batch_change_nothing():
    torch.manual_seed(0)
    network = FullBand().eval()
    short, long = noise(0.4, 1), noise(0.5, 2)
    together = DOMAIN.enhance(network, *batch(long, short))[1, : len(short)]
    alone = DOMAIN.enhance(network, *batch(short))[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_where_nothing_is_nothing_comes():
    pair, lengths = batch(noise())
    silent = pair._replace(high=torch.zeros_like(pair.high))
    assert not DOMAIN.enhance(FullBand().eval(), silent, lengths).any()
