"""Deep auto-encoders: parameters, frames treated alone."""

import pytest
import torch

from clean_corpus.enhancers.models.dae import DAE
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        # counts.json has 200 more, for BatchNorm on the code layer, which SYSTEMS.md does without
        ({}, 1_687_085 - 200),
        ({"hidden": (512, 512)}, 896_557 - 200),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: DAE(**sizes)) == count


def test_frames_are_treated_alone_whatever_their_dimensions():
    torch.manual_seed(0)
    network = DAE(n_freq=9, hidden=(8, 6), code=4).eval()
    x = torch.rand(2, 3, 9)
    found = network(x)
    assert found.magnitudes.shape == (2, 3, 9) and found.codes.shape == (2, 3, 4) and bool((found.codes >= 0).all())
    assert torch.allclose(network(x[1, 2:]).magnitudes, found.magnitudes[1, 2:], atol=1e-6)
