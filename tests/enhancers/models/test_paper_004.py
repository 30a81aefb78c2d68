"""The rows of paper [004]: every parameter learns, wrong shapes, padding."""

from dataclasses import replace

import pytest
import torch

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains.windows import WaveformWindows
from clean_corpus.enhancers.models.critic import Critic
from clean_corpus.enhancers.models.segan import SEGAN

ROWS = {name: row for name, row in table.ENHANCERS.items() if row.paper == "004"}
TINY = {"channels": (2, 2, 4), "kernel_size": 5}
WINDOW = 64


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def tiny(name):
    """A small network and its critic, both over windows of 64 samples."""
    row = ROWS[name]
    return row.build(**TINY), row.adversary.critic(window=WINDOW, **TINY)


@pytest.mark.parametrize("name", ROWS)
def test_every_parameter_learns(name):
    network, critic = tiny(name)
    noisy, latent = torch.randn(3, 1, WINDOW), torch.randn(3, *network.latent_shape(WINDOW))
    critic(network(noisy, latent), noisy).square().sum().backward()
    # a bias before BatchNorm is taken out again by it
    idle = {f"layers.{i}.0.bias" for i in range(len(TINY["channels"]))} if name == "segan" else set()
    for part in (network, critic):
        for key, parameter in part.named_parameters():
            assert parameter.grad is not None and (key in idle or parameter.grad.abs().sum() > 0), key


def test_wrong_shapes_are_refused_with_both_values():
    network, critic = tiny("segan")
    with pytest.raises(ValueError, match=r"noisy \(1, 1, 60\): expected \(B, 1, N\), N a multiple of 8"):
        network(torch.zeros(1, 1, 60), torch.zeros(1, 4, 7))
    with pytest.raises(ValueError, match=r"latent \(1, 4, 7\): noisy \(1, 1, 64\) needs \(1, 4, 8\)"):
        network(torch.zeros(1, 1, 64), torch.zeros(1, 4, 7))
    with pytest.raises(ValueError, match=r"noisy \(2, 1, 32\): expected \(B, 1, 64\)"):
        critic(torch.zeros(2, 1, 64), torch.zeros(2, 1, 32))
    with pytest.raises(ValueError, match="kernel_size 4 is even"):
        SEGAN(kernel_size=4)
    with pytest.raises(ValueError, match="window of 60 samples does not halve 3 times"):
        Critic(channels=(2, 2, 4), window=60)
    with pytest.raises(ValueError, match="pair of 63 samples is shorter than a window of 64"):
        WaveformWindows(window=WINDOW).forward(network, torch.zeros(1, 63), torch.zeros(1, 63))


@pytest.mark.parametrize("name", ROWS)
def test_padding_and_neighbours_do_not_change_a_result(name):
    network, domain = tiny(name)[0].eval(), replace(ROWS[name].domain, window=WINDOW)
    batch, lengths = torch.randn(3, 300), torch.tensor([300, 130, 64])
    batch *= torch.arange(300) < lengths[:, None]
    with torch.inference_mode():
        together = domain.enhance(network, batch, lengths)
        for row, result, n in zip(batch, together, lengths, strict=True):
            alone = domain.enhance(network, row[None, :n], n[None])[0]
            assert torch.equal(alone, domain.enhance(network, row[None, :n], n[None])[0])
            assert torch.allclose(result[:n], alone, atol=1e-6)  # other batch size, other order of float32 sums
