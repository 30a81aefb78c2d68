"""Distributions of a sample: mu-law and back, likelihoods that sum to one, draws that follow them."""

import pytest
import torch

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.distributions import DISTRIBUTIONS, MuLaw, distribution, mu_law_decode, mu_law_encode


def test_mu_law_encodes_and_decodes():
    x = torch.linspace(-1, 1, 1001)
    classes = mu_law_encode(x)
    assert classes.min() == 0 and classes.max() == 255
    assert (mu_law_decode(classes) - x).abs().max() < 0.025
    with pytest.raises(ValueError, match="beyond full scale"):
        mu_law_encode(torch.tensor([1.5]))


@pytest.mark.parametrize("output", ["gaussian", "logistics"])
def test_a_likelihood_is_one_in_all(output):
    """Over all 16-bit steps the logistics sum to one; the density of the Gaussian integrates to one."""
    dist = DISTRIBUTIONS[output]
    parameters = 0.5 * torch.randn(1, dist.channels, 1, generator=torch.Generator().manual_seed(0)) - 2.0
    steps = 65536 if output == "logistics" else 200001
    x = torch.linspace(-1, 1, steps).double() if output == "logistics" else torch.linspace(-20, 20, steps).double()
    p = (-dist.nll(parameters.double().expand(1, -1, steps), x[None])).exp().sum()
    assert float(p) * (1 if output == "logistics" else 40 / steps) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("output", DISTRIBUTIONS)
def test_draws_follow_the_likelihood(output):
    """The mean of -log p of many draws is the entropy that the samples of another seed have too."""
    dist = DISTRIBUTIONS[output]
    parameters = torch.randn(1, dist.channels, generator=torch.Generator().manual_seed(2)) - 2.0
    many = parameters.expand(20000, -1)
    draws = [dist.draw(many, dist.noise(20000, torch.Generator().manual_seed(s))) for s in (0, 1)]
    nll = [float(dist.nll(parameters[:, :, None].expand(-1, -1, 20000), d[None]).mean()) for d in draws]
    assert nll[0] == pytest.approx(nll[1], abs=0.05)
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(3)) * 2 - 1
    assert float(dist.nll(parameters[:, :, None].expand(-1, -1, 20000), uniform[None]).mean()) > nll[0] + 0.1


def test_an_unknown_distribution_is_refused_with_the_nearest():
    assert distribution("gaussian").channels == 2
    with pytest.raises(ConfigError, match=r"'gausian' is not one of .*did you mean 'gaussian'"):
        distribution("gausian")


def test_a_temperature_draws_from_a_power_of_the_density():
    """Of shares p at temperature 0.5: p^2 in sum 1. Of a normal density: one of sqrt(0.5) of its width."""
    shares, u = torch.tensor([0.5, 0.3, 0.2]), torch.linspace(0, 1, 20001)[1:-1, None]
    drawn = mu_law_encode(MuLaw(levels=3).draw(shares.log().expand(len(u), -1), u, 0.5), levels=3).bincount()
    expected = shares.square() / shares.square().sum()
    assert (drawn / len(u)).tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    normal, cold = (
        DISTRIBUTIONS["gaussian"].draw(torch.tensor([[0.1, -3.0]]), torch.ones(1, 1), t) - 0.1 for t in (1.0, 0.25)
    )
    assert float(cold / normal) == pytest.approx(0.5)
