"""Two-pass CGCRN: the second pass, post-filter and level, limit of the gain."""

import copy

import pytest
import torch

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.cgcrn_refined import RefinedCGCRN

TINY = {"channels": (4, 4, 8, 8, 16)}
STFT = spectral.Stft(320, 160)


def test_the_refined_network_is_one_network_heard_twice():
    """The second pass hears 0.7 of the first one's estimate and 0.3 of the noisy spectrum."""
    torch.manual_seed(0)
    once = CGCRN(in_channels=2, out_channels=2, **TINY).eval()
    twice = RefinedCGCRN(share=0.3, post_filter=0.0, **TINY).eval()
    twice.network.load_state_dict(once.state_dict())
    domain, spec = table.method("cgcrn-refined").domain, STFT(torch.randn(1, 4000))
    with torch.inference_mode():
        heard = 0.7 * domain.estimate(once(domain.features(spec)), spec) + 0.3 * spec
        wanted = domain.estimate(once(domain.features(heard)), heard)
        assert torch.allclose(domain.estimate(twice(domain.features(spec)), spec), wanted, atol=1e-5)
    assert sum(p.numel() for p in RefinedCGCRN().parameters()) == 3_764_502
    with pytest.raises(ValueError, match=r"share 1\.5"):
        RefinedCGCRN(share=1.5)


def test_makeup_raises_the_result_in_use_and_not_in_training():
    torch.manual_seed(0)
    plain, louder = RefinedCGCRN(**TINY), RefinedCGCRN(makeup_db=6.0, **TINY)
    louder.load_state_dict(plain.state_dict())
    x = torch.randn(1, 2, 5, 161)
    assert torch.equal(plain(x), louder(x))
    assert torch.allclose(louder.eval()(x), 1.9952623 * plain.eval()(x))


def test_each_pass_is_normalised_in_use_by_its_own_statistics():
    """Statistics of the last batch alone: in use that batch must give what it gave in training."""
    torch.manual_seed(0)
    network = RefinedCGCRN(post_filter=0.0, **TINY).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    x = torch.randn(8, 2, 50, 161)
    with torch.inference_mode():
        learning = network(x)
        assert (network.eval()(x) - learning).square().mean() < 1e-4 * learning.square().mean()  # var of n and n - 1


def test_a_state_with_the_statistics_of_one_pass_gives_them_to_both():
    """As in weights and unfinished trainings of before: with them the network computes what it did, bit for bit."""
    torch.manual_seed(0)
    network, x = RefinedCGCRN(**TINY), torch.randn(2, 2, 9, 161)
    network(x)
    old = {k: v for k, v in network.state_dict().items() if not k.startswith("second_statistics")}
    other = copy.deepcopy(RefinedCGCRN(**TINY))  # as the running mean of the weights has it
    holder = torch.nn.ModuleDict({"network": other})
    holder.load_state_dict({f"network.{k}": v for k, v in old.items()})
    assert torch.equal(other.second_statistics[0].running_mean, network.network.encoder_norms[0].running_mean)
    assert torch.equal(other.second_statistics[-1].running_var, network.network.decoder_norms[-1].running_var)
    assert not torch.equal(network.eval()(x), other.eval()(x))
    network.load_state_dict(old)
    assert torch.equal(network(x), other(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({k: v for k, v in old.items() if "running_var" not in k})


@pytest.mark.parametrize("name", ["cgcrn-refined", "cgcrn-dual-path"])
def test_no_bin_is_raised_beyond_a_limit(name):
    """Where an encoder low-passed a recording, networks have asked for 60 dB more of what was left."""
    torch.manual_seed(0)
    network = table.method(name).build().eval()
    inner = network.network if name == "cgcrn-refined" else network.first
    torch.nn.init.constant_(inner.decoder_norms[0].weight, 1e4)
    domain, highest = table.method(name).domain, {}
    features = domain.features(domain.stft(torch.randn(1, 8000)))
    for max_gain in (1e9, 2.0):
        network.max_gain = max_gain
        with torch.inference_mode():
            highest[max_gain] = network(features).square().sum(1).sqrt().max().item()
    assert highest[1e9] > 3 and highest[2.0] <= 2.001
