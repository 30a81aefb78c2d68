"""Normalisations that were put into the layers before them change no result."""

import copy

import pytest
import torch
from torch import nn

from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.dual_path import Correction
from clean_corpus.enhancers.serving.folding import fold_normalisations


def trained(network: nn.Module) -> nn.Module:
    """A network whose normalisations have seen something."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.running_mean, norm.weight.data, norm.bias.data):
                values.normal_()
            norm.running_var.uniform_(0.1, 3)
    return network.eval()


@pytest.mark.parametrize("skip", ["none", "conv", "cat"])
@torch.inference_mode()
def test_cgcrn(skip):
    torch.manual_seed(0)
    network = trained(CGCRN(n_freq=33, channels=(4, 6), skip=skip))
    folded = copy.deepcopy(network)
    fold_normalisations(folded)
    x = torch.randn(2, 1, 5, 33)
    assert torch.allclose(folded(x), network(x), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


@torch.inference_mode()
def test_correction():
    torch.manual_seed(0)
    network = trained(Correction(33, (4, 6), 1, 3, 5))
    nn.init.normal_(network.decoder[0].conv.weight)
    folded = copy.deepcopy(network)
    fold_normalisations(folded)
    x, frames = torch.randn(2, 4, 5, 33), torch.tensor([5, 3])
    assert torch.allclose(folded(x, frames), network(x, frames), rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_a_network_that_names_no_layers_stays():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    fold_normalisations(network)
    assert type(network[1]) is nn.BatchNorm2d
