"""Arrays for the compiled loops: scales that are multiplied in, and rings that hold each layer's past."""

import math

import numpy as np
import pytest

from clean_corpus.vocoder.generation.kernels import cpu
from clean_corpus.vocoder.generation.weights import Weights, history_starts
from tests.support.wavenets import small_wavenet


def test_scales_are_multiplied_in_and_taps_come_oldest_first():
    net = small_wavenet()
    weights, block = Weights.of(net), net.blocks[3]
    assert weights.kind == cpu.MU_LAW and len(weights.levels) == 256
    assert np.array_equal(weights.dilated[3, 0], block.dilated.weight[:, :, 0].detach().numpy())
    assert np.allclose(weights.residual[3], block.residual.weight[:, :, 0].detach().numpy() * math.sqrt(0.5))
    assert np.allclose(weights.skip[3], block.skip.weight[:, :, 0].detach().numpy() * math.sqrt(1 / 6))
    assert np.allclose(weights.skip_bias, sum(b.skip.bias.detach().numpy() for b in net.blocks) * math.sqrt(1 / 6))


@pytest.mark.parametrize(("kernel_size", "n_rows"), [(2, 14), (3, 28)])
def test_rings_follow_each_other(kernel_size, n_rows):
    """Dilations of 1, 2, 4, 1, 2, 4: a ring has one row for each sample of a layer's past."""
    starts, found = history_starts(Weights.of(small_wavenet("gaussian", kernel_size=kernel_size)))
    assert found == n_rows
    assert starts.tolist() == [(kernel_size - 1) * n for n in (0, 1, 3, 7, 8, 10)]
