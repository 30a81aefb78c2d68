"""Masker CRN: parameters with two masks and with one."""

import pytest
import torch

from clean_corpus.enhancers.models.masker_crn import MaskerCRN
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 22_170_258),
        ({"out_channels": 1}, 22_170_161),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: MaskerCRN(**sizes)) == count


def test_no_frame_reaches_another_but_through_the_lstm():
    network = MaskerCRN(channels=(2, 2, 4, 4, 4), units=8).eval()
    x = torch.rand(1, 1, 5, 257)
    changed = x.clone()
    changed[:, :, 2] += 1
    torch.nn.init.zeros_(network.widen.weight)  # what the LSTM says is not heard
    with torch.inference_mode():
        differ = (network(x) != network(changed)).any(-1).any(1)[0]
    assert differ.tolist() == [False, False, True, False, False]
