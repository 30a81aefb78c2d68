"""PL-CRNN: parameters and number of stages."""

import pytest
import torch

from clean_corpus.enhancers.models.pl_crnn import PLCRNN
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({"stages": 2}, 1_165_282),
        ({}, 1_221_731),
        ({"stages": 4}, 1_278_276),
        ({"stages": 5}, 1_334_917),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: PLCRNN(**sizes)) == count


@pytest.mark.parametrize("stages", [2, 3, 4, 5])
def test_the_number_of_stages_is_a_size(stages):
    network = PLCRNN(stages=stages, channels=(4, 4, 4, 4, 8))
    assert network(torch.rand(1, 1, 2, 161)).shape == (1, stages, 2, 161)
