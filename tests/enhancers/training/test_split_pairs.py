"""Pairs in two bands: together they are the signal, and the enhancers of the lower one take turns."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from clean_corpus.enhancers.training.split_pairs import SplitPairs, split
from clean_corpus.pipeline.audio.resample import resample


class Pairs(Dataset):
    """Two pairs of noise."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        clean, noise = np.random.default_rng(index).standard_normal((2, 4801)).astype(np.float32)
        return clean + noise, clean


def halved(noisy, lengths):
    return 0.5 * noisy


def kept(noisy, lengths):
    return noisy


def test_the_bands_together_are_the_signal():
    noisy, _ = Pairs()[0]
    high, low = split(noisy)
    up = resample(low, 16000, 48000)[: len(high)]
    assert len(high) == 4801 and len(low) == 1601
    assert np.allclose(high + np.pad(up, (0, len(high) - len(up))), noisy, atol=1e-6)


def test_a_tone_below_the_split_leaves_nothing_above():
    tone = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000).astype(np.float32)
    high, _ = split(tone)
    assert np.abs(high[480:-480]).max() < 1e-3


def test_enhancers_take_turns_and_the_clean_band_is_split_alike():
    pairs = SplitPairs(Pairs(), [kept, halved])
    assert len(pairs) == 2
    for index, gain in ((0, 1.0), (1, 0.5)):
        (high, low, estimate), clean_high = pairs[index]
        noisy, clean = Pairs()[index]
        assert np.allclose(estimate, gain * low) and np.allclose(high, split(noisy)[0])
        assert np.allclose(clean_high, split(clean)[0])


def test_a_batch_is_collated_for_the_domain():
    batch = torch.utils.data.default_collate([SplitPairs(Pairs(), [kept])[0]] * 2)
    (high, low, estimate), clean_high = batch
    assert high.shape == clean_high.shape == (2, 4801) and low.shape == estimate.shape == (2, 1601)
    assert pytest.approx(0) == float((low - estimate).abs().max())
