"""PL-LSTM: parameters and number of stages."""

import pytest
import torch

from clean_corpus.enhancers.models.pl_lstm import PLLSTM
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 42_249_699),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: PLLSTM(**sizes)) == count


@pytest.mark.parametrize("stages", [2, 3, 4, 5])
def test_the_number_of_stages_is_a_size(stages):
    network = PLLSTM(stages=stages, units=16)
    assert network(torch.rand(1, 1, 2, 161)).shape == (1, stages, 2, 161)
