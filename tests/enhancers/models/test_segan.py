"""SEGAN's generator: shapes, gates, residual."""

import pytest
import torch
from torch import nn

from clean_corpus.enhancers import table
from clean_corpus.enhancers.models.critic import Critic
from clean_corpus.enhancers.models.segan import SEGAN
from clean_corpus.enhancers.training import train as training
from clean_corpus.enhancers.training.adversarial_steps import Adversarial
from tests.support.networks import parameter_count

ROWS = {name: row for name, row in table.ENHANCERS.items() if row.paper == "004"}
TINY = {"channels": (2, 2, 4), "kernel_size": 5}
WINDOW = 64


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("activation", "parameters"), [("prelu", 73_100_049), ("glu", 146_191_105)])
def test_parameter_counts_are_those_of_the_specification(activation, parameters):
    assert parameter_count(lambda: SEGAN(activation=activation)) == parameters


def test_shapes_are_those_of_the_paper():
    with torch.device("meta"):
        network, critic, noisy = SEGAN(activation="glu"), Critic(activation="glu"), torch.zeros(2, 1, 16384)
        assert network.latent_shape(16384) == (1024, 8)
        output = network(noisy, torch.zeros(2, 1024, 8))
        assert output.shape == noisy.shape and critic(output, noisy).shape == (2,)


@pytest.mark.parametrize("peak", [5.0, 100.0])
def test_gradients_of_a_fresh_gated_network_are_of_the_order_of_its_error(peak):
    """Peaks of speech would open gates as strong as the other filters, each layer double the one before."""
    network = SEGAN(activation="glu", channels=(4, 8, 8, 16, 16, 32, 32, 64, 64, 64, 64), residual=True)
    nn.init.normal_(network.last.weight, std=0.1)
    noisy, latent = torch.randn(2, 1, 16384), torch.randn(2, 64, 8)
    noisy[:, :, 5000:5100] *= peak
    network(noisy, latent).square().mean().backward()
    assert 1e-3 < sum(p.grad.square().sum() for p in network.parameters()) ** 0.5 < 100


def test_a_residual_network_begins_with_what_it_was_given_and_learns_what_to_take_away():
    """Its critic has the same sizes but for what only the network knows."""
    sizes, row = TINY | {"residual": True}, ROWS["wgan-glu"]
    module = Adversarial(row, row.schedule[-1], row.build(**sizes), training.TrainConfig(sizes=sizes))
    assert count(module.critic) == count(row.adversary.critic(**TINY))
    noisy, latent = torch.randn(2, 1, WINDOW), torch.randn(2, *module.network.latent_shape(WINDOW))
    estimate = module.network(noisy, latent)
    assert torch.equal(estimate, noisy)
    estimate.square().sum().backward()
    assert module.network.last.weight.grad.abs().sum() > 0


def test_a_residual_network_does_the_same_at_every_level():
    network = ROWS["wgan-glu"].build(**TINY, residual=True)
    nn.init.normal_(network.last.weight)
    noisy, latent = torch.randn(3, 1, WINDOW), torch.randn(3, *network.latent_shape(WINDOW))
    levels = torch.tensor([1.0, 1e-2, 0.0]).reshape(3, 1, 1)
    loud, soft, silent = network(noisy[:1], latent[:1]), *network(levels * noisy[0], latent[:1].repeat(3, 1, 1))[1:]
    assert not torch.equal(loud, noisy[:1])
    assert torch.allclose(soft, 1e-2 * loud[0], rtol=1e-4)
    assert silent.abs().max() < 1e-4


def test_every_layer_of_a_residual_network_stays_awake_whatever_its_weights_grow_to():
    network = ROWS["wgan-glu"].build(channels=(4, 8, 8, 16, 16, 32, 32), residual=True)
    layers, levels = [*network.encoder, *network.decoder], []
    for layer in layers:
        with torch.no_grad():
            layer[0].weight.mul_(10)
        layer.register_forward_hook(lambda _, __, found: levels.append(found.square().mean().sqrt().item()))
    noisy = torch.randn(2, 1, 16384)
    noisy[:, :, 5000:5100] *= 10
    network(noisy, torch.rand(2, *network.latent_shape(16384)))
    assert len(levels) == len(layers) == 13 and 0.2 < min(levels) < max(levels) < 2, levels
