"""LSTM and GRU baselines: parameters."""

import pytest
import torch

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.models.recurrent import Recurrent, context_window
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({"cell": "lstm"}, 36_811_937),
        ({"cell": "gru"}, 27_650_209),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: Recurrent(**sizes)) == count


def test_a_window_goes_on_where_the_last_call_ended():
    x, memory = torch.randn(2, 9, 3), Memory()
    first = context_window(x[:, :4], 3, memory)
    second = context_window(x[:, 4:], 3, Memory(memory.state))
    assert torch.equal(torch.cat((first, second), 1), context_window(x, 3, Memory()))
