"""DNN-IRM: parameters."""

import pytest
import torch

from clean_corpus.enhancers.models.dnn_irm import DNNIRM
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 3_684_609),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: DNNIRM(**sizes)) == count


def test_the_mask_of_a_frame_is_its_own():
    network, x = DNNIRM(hidden=(16, 16)).eval(), torch.rand(1, 1, 4, 257)
    assert torch.allclose(network(x)[:, :, 2:3], network(x[:, :, 2:3]), atol=1e-6)
