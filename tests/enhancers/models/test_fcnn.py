"""FCNN: parameters, window of frames."""

import pytest
import torch

from clean_corpus.enhancers.models.fcnn import FCNN
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 33_149),
        ({"n_freq": 129}, 32_765),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: FCNN(**sizes)) == count


def test_the_window_of_frames_reaches_as_far_back_as_stated():
    torch.manual_seed(0)
    network = FCNN()
    network(torch.rand(2, 1, 30, 161))  # moves the statistics of BatchNorm
    network.eval()
    features = torch.rand(1, 1, 20, 161)
    changed = features.clone()
    changed[:, :, 4] += 1
    with torch.inference_mode():
        differ = (network(features) != network(changed)).any(-1).any(1)[0]
    assert differ.nonzero().flatten().tolist() == list(range(4, 4 + 8))
