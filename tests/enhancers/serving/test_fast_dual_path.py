"""Dual-path blocks without copies give the numbers of the block, for one signal and for several."""

import pytest
import torch

from clean_corpus.enhancers.models.dual_path import Correction, DualPath, reversal
from clean_corpus.enhancers.serving.fast_dual_path import FastDualPath, use_fast_dual_paths


@pytest.mark.parametrize("frames", [[9], [6], [9, 4], [1]])
@pytest.mark.parametrize("sizes", [(16, 32, 64), (8, 16, 32), (12, 5, 7)])
@torch.inference_mode()
def test_numbers_are_those_of_the_block(frames, sizes):
    torch.manual_seed(0)
    block = DualPath(*sizes).eval()
    x = torch.randn(len(frames), max(frames), 7, sizes[0])
    order = reversal(torch.tensor(frames), max(frames))
    before = x.clone()
    assert torch.allclose(FastDualPath(block)(x, order), block(x, order), atol=1e-5)
    assert torch.equal(x, before)


def test_the_blocks_of_a_network_are_replaced():
    network = Correction(33, (4, 8), 2, 3, 5)
    use_fast_dual_paths(network)
    assert [type(block) for block in network.blocks] == [FastDualPath, FastDualPath]
