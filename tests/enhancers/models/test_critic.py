"""The critic: its slope and its level."""

import pytest
import torch

from clean_corpus.enhancers.models.critic import Critic
from clean_corpus.enhancers.objectives.adversarial import gradient_norm
from tests.support.networks import parameter_count


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("sizes", "parameters"),
    [
        ({"activation": "leaky_relu", "norm": True}, 24_373_082),
        ({"activation": "glu"}, 48_735_082),
        ({"activation": "prelu"}, 24_370_570),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, parameters):
    assert parameter_count(lambda: Critic(**sizes)) == parameters


@pytest.mark.parametrize("activation", ["glu", "prelu"])
def test_a_fresh_critic_has_a_slope_near_one_at_any_width(activation):
    """Eleven layers of fixed-size weights would leave it at 1e-9, which Adam does not see."""
    narrow = (2, 2, 2, 4, 4, 8, 8, 16, 16, 32, 64)
    critic, x = Critic(activation=activation, channels=narrow), 0.1 * torch.randn(4, 1, 16384)
    assert 0.1 < gradient_norm(critic, x, x, x, torch.zeros(4, 1, 1)).mean().item() < 10
