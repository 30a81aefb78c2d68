"""The stage `enhance`: nothing but the enhancer changes the audio, and only the clip at fault fails."""

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.core.config import EnhanceConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.corpus.enhance import batches, enhance_clips

RATE = 16000
RNG = np.random.default_rng(0)


def halve(noisy, lengths):
    return noisy / 2


def test_every_clip_comes_back_in_its_place_at_its_length():
    clips = [RNG.standard_normal(n).astype(np.float32) for n in (1, 900, 16000, 0, 40000, 16000)]
    for clip, result in zip(
        clips, enhance_clips(clips, halve, EnhanceConfig(batch_s=2), sample_rate=RATE), strict=True
    ):
        np.testing.assert_array_equal(result, clip / 2)


def test_batches_hold_like_lengths_and_at_most_their_budget():
    lengths = list(RNG.integers(1, 1000, 200))
    found = list(batches(lengths, 3000))
    assert sorted(i for batch in found for i in batch) == list(range(200))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 3000 for batch in found)
    padding = sum(max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in found)
    assert padding < 0.05 * sum(lengths)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(lambda x, n: x[:, 1:], "lengths must be kept"), (lambda x, n: x * torch.nan, "NaN or infinite")],
)
def test_an_enhancer_that_misbehaves_is_named(wrong, words):
    with pytest.raises(DataError, match=words):
        enhance_clips([np.ones(100, np.float32)], wrong, EnhanceConfig(), sample_rate=RATE)
