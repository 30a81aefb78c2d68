"""CGCRN with a correction that hears the whole signal: what it starts as, what it sees, what padding does not do."""

import pytest
import torch

from clean_corpus.enhancers.models.dual_path import FIRST, SECOND, CGCRNDualPath, reversal
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.table import method

TINY = {"channels": (4, 6, 8), "across": 4, "along": 4, "blocks": 2}


@pytest.fixture
def network():
    """With weights that do something: the last layer is zero before training."""
    torch.manual_seed(0)
    net = CGCRNDualPath(**TINY)
    torch.nn.init.normal_(net.second.decoder[0].conv.weight, std=0.1)
    net(SECOND.features(SECOND.stft(torch.randn(4, 8000))))  # BatchNorm's statistics
    return net.eval()


def halves(features, **_):
    """A first network that halves everything and turns it by a quarter, in its own frames."""
    return torch.stack((torch.zeros_like(features[:, 0]), torch.full_like(features[:, 0], 0.5)), 1)


def test_before_training_it_is_the_first_network():
    """Whose frames are shorter: what it makes of the signal comes out of the longer ones as it was."""
    torch.manual_seed(0)
    net, noisy = CGCRNDualPath(**TINY, post_filter=0.0).eval(), torch.randn(2, 5000)
    net.first.forward = halves
    lengths = torch.tensor([5000, 3000])
    with torch.inference_mode():
        wanted = FIRST.enhance(net.first, noisy, lengths)
        net.train()  # in use the level is restored
        result = SECOND.enhance(net, noisy, lengths)
    for n, a, b in zip(lengths, wanted, result, strict=True):
        assert (a - b)[:n].square().mean() < 1e-4 * a[:n].square().mean()
        assert a[:n].square().mean() > 0.1


def test_the_level_of_the_speech_is_restored_within_a_decibel():
    """Of a first network that takes too much of everything, one that makes it louder, and one that takes nearly all."""
    torch.manual_seed(0)
    noisy, lengths = torch.randn(1, 8000), torch.tensor([8000])
    for kept, wanted in ((0.95, 1.0), (1.05, 1.0), (0.1, 0.1 * 10 ** (1 / 20))):
        net = CGCRNDualPath(**TINY, post_filter=0.0).eval()
        net.first.forward = lambda x, kept=kept, **_: torch.stack((torch.full_like(x[:, 0], kept), 0 * x[:, 0]), 1)
        with torch.inference_mode():
            assert torch.allclose(SECOND.enhance(net, noisy, lengths), wanted * noisy, atol=1e-2)


def test_its_size():
    with torch.device("meta"):
        net = CGCRNDualPath()
    counts = [sum(p.numel() for p in part.parameters()) for part in (net, net.first, net.second)]
    assert counts == [4_068_016, 3_764_502, 303_514]


def test_it_hears_the_future_and_every_bin_through_the_second_network(network):
    features = torch.randn(1, 2, 20, 257)
    changed = features.clone()
    changed[:, :, 15, 100] += 1
    with torch.inference_mode():
        differs = (network(changed) != network(features)).any(1)[0]
        estimates = [network._first_estimate(SECOND.spectrum(x), torch.tensor([20])) for x in (features, changed)]
    assert differs[0].any() and differs[19].any() and differs[15, 5] and differs[15, 250]
    assert torch.allclose(
        estimates[0][:, :13], estimates[1][:, :13], atol=1e-5
    )  # two frames touch the one that changed


def test_padding_changes_nothing(network):
    noisy, lengths = torch.randn(2, 5000), torch.tensor([5000, 3000])
    noisy[1, 3000:] = 0
    with torch.inference_mode():
        together = SECOND.enhance(network, noisy, lengths)
        alone = SECOND.enhance(network, noisy[1:, :3000], lengths[1:])
    assert torch.allclose(together[1, :3000], alone[0], atol=1e-4)


def test_every_parameter_of_the_part_that_learns_gets_a_gradient(network):
    network(torch.randn(2, 2, 10, 257)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.second.parameters())


def test_each_part_has_a_stage_of_training_before_both_learn_together():
    stages = method("cgcrn-dual-path").schedule
    assert [(s.name, s.parts) for s in stages] == [("first", ("first",)), ("second", ("second",)), ("final", ())]


def test_while_it_learns_the_mask_is_left_as_it_is(network):
    """Neither post-filter nor level, whatever mode its parts are in."""
    features = SECOND.features(SECOND.stft(torch.randn(2, 8000)))
    with torch.inference_mode():
        network.training = True  # its parts are in evaluation mode
        assert not torch.allclose(network(features), network.eval()(features), rtol=1e-2)


def test_a_long_signal_has_no_seam(network, monkeypatch):
    """Blocks of 2.08 s with 0.48 s in common against the whole: what is left of the seams is 40 dB below the speech.

    As in use, each begins where frames of both networks do.
    """
    from clean_corpus.enhancers.serving import long_files

    enhancer = Enhancer(method("cgcrn-dual-path"), network, name="x", sha256="")
    noisy, lengths = 0.1 * torch.randn(1, 80000), torch.tensor([80000])
    whole = enhancer(noisy, lengths)
    monkeypatch.setattr(long_files, "ATTENDED_S", 2.08)
    monkeypatch.setattr(long_files, "OVERLAP_S", 0.48)
    blocks = enhancer(noisy, lengths)
    assert (blocks - whole).square().mean() < 1e-4 * whole.square().mean()


def test_reversal_leaves_padding_behind():
    assert reversal(torch.tensor([3, 2]), 3).tolist() == [[2, 1, 0], [1, 0, 2]]
