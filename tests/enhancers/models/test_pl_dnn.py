"""PL-DNN: parameters, number of stages, window of frames."""

import pytest
import torch

from clean_corpus.enhancers.models.pl_dnn import PLDNN
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 17_871_331),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: PLDNN(**sizes)) == count


@pytest.mark.parametrize("stages", [2, 3, 4, 5])
def test_the_number_of_stages_is_a_size(stages):
    network = PLDNN(stages=stages, units=16)
    assert network(torch.rand(1, 1, 2, 161)).shape == (1, stages, 2, 161)


def test_the_window_of_frames_reaches_as_far_back_as_stated():
    torch.manual_seed(0)
    network = PLDNN(units=16)
    network(torch.rand(2, 1, 30, 161))  # moves the statistics of BatchNorm
    network.eval()
    features = torch.rand(1, 1, 20, 161)
    changed = features.clone()
    changed[:, :, 4] += 1
    with torch.inference_mode():
        differ = (network(features) != network(changed)).any(-1).any(1)[0]
    assert differ.nonzero().flatten().tolist() == list(range(4, 4 + 11))
