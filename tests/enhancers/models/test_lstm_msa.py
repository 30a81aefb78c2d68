"""LSTM with look-ahead: parameters, wrong features."""

import pytest
import torch

from clean_corpus.enhancers.models.lstm_msa import LstmMsa
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 9_183_657),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: LstmMsa(**sizes)) == count


def test_wrong_features_are_refused_with_both_shapes():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(1, 2, 3, 257\): expected \(B, 1, T, 257\)"):
        LstmMsa()(torch.zeros((1, 2, 3, 257)))
