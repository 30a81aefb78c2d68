"""CNN-GRU: parameters, and blocks that see their own frame only."""

import pytest
import torch

from clean_corpus.enhancers.models.cnn_gru import CNNGRU, ResidualBlock
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 3_462_885),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: CNNGRU(**sizes)) == count


def test_a_block_sees_a_band_of_its_own_frame():
    block, x = ResidualBlock(2, 4).eval(), torch.randn(1, 2, 5, 41)
    changed = x.clone()
    changed[:, :, 2, 20] += 1
    differ = (block(x) != block(changed)).any(1)[0]
    assert differ.nonzero()[:, 0].unique().tolist() == [2]
    assert differ[2].nonzero().flatten().tolist() == [12, 16, 20, 24, 28]
