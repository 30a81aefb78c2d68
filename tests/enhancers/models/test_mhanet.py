"""MHANet-IRM: parameters, and attention over the whole signal."""

import pytest
import torch

from clean_corpus.enhancers.models.mhanet import MHANet
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 38_314_241),
        ({"feedforward": 4096}, 76_081_409),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: MHANet(**sizes)) == count


def test_attention_sees_the_whole_signal_but_no_padding():
    torch.manual_seed(0)
    network, noisy_mag = MHANet(d_model=16, layers=2, feedforward=16).eval(), torch.rand(2, 1, 20, 257)
    changed = noisy_mag.clone()
    changed[:, :, 12:] += 1
    frames = torch.tensor([12, 20])
    with torch.inference_mode():
        before, after = network(noisy_mag, frames=frames), network(changed, frames=frames)
        alone = network(noisy_mag[:1, :, :12])
    assert torch.equal(before[0, :, :12], after[0, :, :12])
    assert not torch.isclose(before[1, :, :12], after[1, :, :12]).all()
    assert torch.allclose(before[:1, :, :12], alone, atol=1e-6)  # another length, another order of float32 sums
