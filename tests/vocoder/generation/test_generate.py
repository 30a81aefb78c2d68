"""Speech for many utterances: each is its own, whatever lies beside it."""

import numpy as np
import pytest
import torch

from clean_corpus.vocoder.generation.generate import generate
from tests.support.wavenets import small_wavenet


def test_an_utterance_does_not_depend_on_its_neighbours():
    net = small_wavenet()
    mels = [torch.randn(45, frames) for frames in (30, 7, 120, 55)]
    together = generate(net, mels, [0, 1, 2, 3], batch_size=4)
    apart = generate(net, mels[::-1], [3, 2, 1, 0], threads=2, batch_size=1)[::-1]
    for i, mel in enumerate(mels):
        assert together[i].shape == (mel.shape[1] * net.hop_length,) and np.array_equal(apart[i], together[i]), i
    many = generate(net, mels * 5, [0, 1, 2, 3] * 5)
    assert all(np.array_equal(x, together[i % 4]) for i, x in enumerate(many)), "in two rows of lanes"


def test_progress_counts_every_sample_once():
    net, made = small_wavenet(), []
    generate(net, [torch.randn(45, frames) for frames in (60, 7)], [0, 1], advance=made.append)
    assert made == [57 * net.hop_length, 10 * net.hop_length]  # blocks of 50 frames


def test_seeds_are_as_many_as_utterances():
    with pytest.raises(ValueError, match="2 utterances, but 1 seeds"):
        generate(small_wavenet(), [torch.randn(45, 3)] * 2, [0])
