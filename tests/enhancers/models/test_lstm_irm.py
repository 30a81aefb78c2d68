"""LSTM-IRM: parameters with the paper's units and with those of its source."""

import pytest

from clean_corpus.enhancers.models.lstm_irm import LSTMIRM
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 119_863_553),
        ({"units": 425}, 3_310_849),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: LSTMIRM(**sizes)) == count
