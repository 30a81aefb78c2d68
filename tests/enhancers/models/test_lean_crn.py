"""LeanCRN: size, shapes, causality, padding, streaming, silence, gradients, bands."""

import pytest
import torch

from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.domains.spectral import rms_level
from clean_corpus.enhancers.models.lean_crn import LINEAR_BINS, LeanCRN, erb_bands
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.serving.streaming import Stream
from clean_corpus.enhancers.table import method

TINY = {"narrow": 4, "channels": 6, "blocks": 2, "across": 2, "along": 4}


def network(**sizes):
    """Return a network with weights that matter: BatchNorm has seen a signal, and the filter differs between bins."""
    torch.manual_seed(0)
    net = LeanCRN(**(TINY | sizes))
    torch.nn.init.normal_(net.filter.weight, std=0.3)
    for _ in range(20):
        net(spectrum(torch.randn(4, 8000)))
    return net.eval()


def spectrum(x):
    domain = method("lean").domain
    return domain.features(domain.stft(x))


@pytest.mark.parametrize(("name", "parameters", "mmac"), [("lean", 309_390, 237.1), ("lean-causal", 302_478, 222.8)])
def test_size_and_work_are_those_of_the_docstring(name, parameters, mmac):
    about = describe(name)
    assert about["parameters"] == parameters and about["fma_per_s"] / 1e6 == pytest.approx(mmac, abs=0.1)
    assert 4 * 4 * parameters < 10e6  # a saved training: weights, their mean, two moments, 4 bytes each
    assert about["causal"] == (name == "lean-causal")


@pytest.mark.parametrize("causal", [False, True])
def test_the_shape_is_kept_and_other_shapes_are_refused(causal):
    x = spectrum(torch.randn(2, 5000))
    assert network(causal=causal)(x).shape == x.shape
    with pytest.raises(ValueError, match="expected"):
        network(causal=causal)(x[..., 1:])


@torch.inference_mode()
def test_an_untrained_network_nearly_passes_its_input():
    net, x = LeanCRN().eval(), torch.randn(1, 8000)
    y = method("lean").domain.enhance(net, x, torch.tensor([8000]))
    assert (y * x).sum() / (x * x).sum() > 0.7


@torch.inference_mode()
def test_a_causal_network_leaves_the_past_bit_equal_when_the_future_changes():
    net = network(causal=True)
    x = spectrum(torch.randn(1, 8000))
    changed = x.clone()
    changed[:, :, 20:] = 3 * torch.randn_like(changed[:, :, 20:])
    differs = (net(changed) != net(x)).flatten(3).any(3).any(1)[0]
    assert not differs[:20].any() and differs[20]


@torch.inference_mode()
def test_with_look_ahead_the_last_frame_changes_the_first():
    net = network()
    x = spectrum(torch.randn(1, 8000))
    changed = x.clone()
    changed[:, :, -1, 100] += 1
    assert (net(changed) != net(x))[0, :, 0].any()


@torch.inference_mode()
def test_padding_changes_nothing():
    net, domain = network(), method("lean").domain
    noisy, lengths = torch.randn(2, 5000), torch.tensor([5000, 3000])
    noisy[1, 3000:] = 0
    together = domain.enhance(net, noisy, lengths)
    alone = domain.enhance(net, noisy[1:, :3000], lengths[1:])
    assert torch.allclose(together[1, :3000], alone[0], atol=1e-5)


@torch.inference_mode()
def test_hop_by_hop_equals_the_whole_signal():
    net, row = network(causal=True), method("lean-causal")
    x, lengths = torch.randn(1, 8000), torch.tensor([8000])
    whole = row.domain.enhance(net, x, lengths)
    assert torch.allclose(Stream(net, row.domain).run(x, rms_level(x, lengths)), whole, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_silence_stays_silence(causal):
    enhancer = Enhancer(method("lean-causal" if causal else "lean"), network(causal=causal), name="x", sha256="")
    assert not enhancer(torch.zeros(1, 8000), torch.tensor([8000])).any()


def test_every_parameter_gets_a_gradient():
    net = network().train()
    net(spectrum(torch.randn(2, 8000))).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_bands_cover_all_bins_above_2_khz_in_order():
    weights = erb_bands(257, 129)
    assert weights.shape == (65, 257 - LINEAR_BINS) and (weights.sum(0) > 0).all() and (weights >= 0).all()
    peaks = weights.argmax(1)
    assert (peaks.diff() > 0).all() and peaks[0] == 0 and peaks[-1] == 192
