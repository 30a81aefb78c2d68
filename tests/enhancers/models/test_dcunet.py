"""DCUNET-16: parameters, sizes that cannot be."""

import pytest
import torch

from clean_corpus.enhancers.models.dcunet import DCUNet
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 3_604_000),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: DCUNet(**sizes)) == count


def test_wrong_features_are_refused_with_both_shapes():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(1, 1, 3, 256\): expected \(B, 2, T, 256\)"):
        DCUNet()(torch.zeros((1, 1, 3, 256)))


def test_bins_that_cannot_be_halved_are_refused():
    with torch.device("meta"), pytest.raises(ValueError, match=r"257 bins cannot be halved \d times"):
        DCUNet(n_freq=257)
