"""CGCRN with a correction that hears the whole signal: what it starts as, what it sees, what padding does not do."""

import pytest
import torch

from enhancers.masks import limited
from enhancers.models.cgcrn import CGCRN
from enhancers.models.dual_path import CGCRNDualPath, reversal
from enhancers.table import Enhancer, method

TINY = {"channels": (4, 6, 8), "across": 4, "along": 4, "blocks": 2}


@pytest.fixture
def network():
    """With weights that do something: the last layer is zero before training."""
    torch.manual_seed(0)
    net = CGCRNDualPath(**TINY)
    torch.nn.init.normal_(net.second.decoder[0].conv.weight, std=0.1)
    net(torch.randn(4, 2, 30, 161))  # BatchNorm's statistics
    return net.eval()


def test_before_training_it_is_the_first_network():
    torch.manual_seed(0)
    net, features = CGCRNDualPath(**TINY, post_filter=0.0).eval(), torch.randn(2, 2, 12, 161)
    alone = CGCRN(in_channels=2, out_channels=2).eval()
    alone.load_state_dict(net.first.state_dict())
    assert torch.equal(net(features), limited(alone(features), 2.0))


def test_its_size():
    with torch.device("meta"):
        net = CGCRNDualPath()
    counts = [sum(p.numel() for p in part.parameters()) for part in (net, net.first, net.second)]
    assert counts == [4_068_016, 3_764_502, 303_514]


def test_it_hears_the_future_and_every_bin_through_the_second_network(network):
    features = torch.randn(1, 2, 20, 161)
    changed = features.clone()
    changed[:, :, 15, 100] += 1
    with torch.inference_mode():
        differs = (network(changed) != network(features)).any(1)[0]
        assert torch.equal(network.first(changed)[:, :, :15], network.first(features)[:, :, :15])
    assert differs[0].any() and differs[19].any() and differs[15, 5] and differs[15, 150]


def test_padding_changes_nothing(network):
    features = torch.randn(2, 2, 20, 161)
    with torch.inference_mode():
        together = network(features, frames=torch.tensor([20, 13]))
        alone = network(features[1:, :, :13])
    assert torch.allclose(together[1, :, :13], alone[0], atol=1e-5)


def test_every_parameter_of_the_part_that_learns_gets_a_gradient(network):
    network.train()
    network(torch.randn(2, 2, 10, 161)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.second.parameters())


def test_each_part_has_a_stage_of_training():
    stages = method("cgcrn-dual-path").schedule
    assert [(s.name, s.parts) for s in stages] == [("first", ("first",)), ("final", ("second",))]


def test_a_long_signal_has_no_seam(network, monkeypatch):
    """Blocks of 2 s with 0.5 s in common against the whole: what is left of the seams is 40 dB below the speech."""
    from enhancers import long

    enhancer = Enhancer(method("cgcrn-dual-path"), network, name="x", sha256="")
    noisy, lengths = 0.1 * torch.randn(1, 80000), torch.tensor([80000])
    whole = enhancer(noisy, lengths)
    monkeypatch.setattr(long, "ATTENDED_S", 2.0)
    monkeypatch.setattr(long, "OVERLAP_S", 0.5)
    blocks = enhancer(noisy, lengths)
    assert (blocks - whole).square().mean() < 1e-4 * whole.square().mean()


def test_reversal_leaves_padding_behind():
    assert reversal(torch.tensor([3, 2]), 3).tolist() == [[2, 1, 0], [1, 0, 2]]
