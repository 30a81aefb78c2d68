"""PL-CRNN: parameters and number of stages."""

import pytest
import torch

from clean_corpus.enhancers.models.pl_crnn import PLCRNN
from clean_corpus.enhancers.table import method
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


@pytest.mark.parametrize(
    ("name", "stages"), [("pl-crnn-q2", 2), ("pl-crnn", 3), ("pl-crnn-q4", 4), ("pl-crnn-q5", 5), ("pl-crnn-q5-iam", 5)]
)
def test_rows_have_the_stages_in_their_name_and_masks_where_they_say_so(name, stages):
    network, features = method(name).build(channels=(4, 4, 4, 4, 8)), torch.rand(1, 1, 2, 161)
    output = network(features)
    assert output.shape == (1, stages, 2, 161) and bool((output <= features).all()) == name.endswith("-iam")
