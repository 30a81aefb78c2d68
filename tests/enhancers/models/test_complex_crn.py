"""CRN with complex spectral mapping: parameters, sizes that cannot be."""

import pytest
import torch

from clean_corpus.enhancers.models.complex_crn import ComplexCRN
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 5_707_698),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: ComplexCRN(**sizes)) == count


def test_wrong_features_are_refused_with_both_shapes():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(1, 2, 3, 256\): expected \(B, 2, T, 257\)"):
        ComplexCRN()(torch.zeros((1, 2, 3, 256)))


def test_bins_that_cannot_be_halved_are_refused():
    with torch.device("meta"), pytest.raises(ValueError, match="255 bins above DC cannot be halved 6 times"):
        ComplexCRN(n_freq=256)
