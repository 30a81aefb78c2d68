"""Adversarial losses of known scores and slopes."""

import pytest
import torch

from clean_corpus.enhancers.objectives import adversarial
from clean_corpus.enhancers.objectives.adversarial import gradient_norm, gradient_penalty


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_adversarial_losses_know_their_answers():
    estimate, clean = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 4.0])
    assert adversarial.lsgan_d(estimate, clean).item() == 0.5 * (0 + 9) / 2 + 0.5 * (0 + 4) / 2
    assert adversarial.lsgan_g(estimate).item() == 0.5
    assert adversarial.wgan_d(estimate, clean).item() == 1.0 - 2.5
    assert adversarial.wgan_g(estimate).item() == -1.0
    assert adversarial.l1(estimate, clean).item() == 1.5


def test_gradient_penalty_of_a_critic_with_known_slopes():
    """The score <u, noisy> has the slope |noisy| in the speech, 5 and 1 here; its slope in the noisy is not asked."""
    noisy = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])
    weight = torch.ones((), requires_grad=True)
    estimate, clean, mix = torch.randn(2, 1, 2), torch.randn(2, 1, 2), torch.rand(2, 1, 1)
    norm = gradient_norm(lambda u, n: (weight * u * n).sum((1, 2)), estimate, clean, noisy, mix)
    assert norm.tolist() == [5.0, 1.0] and gradient_penalty(norm).item() == 8.0
    gradient_penalty(norm).backward()
    assert weight.grad.item() == 20.0  # d/dw of ((5 w - 1)^2 + (w - 1)^2) / 2 at w = 1


def test_gradient_penalty_is_taken_between_clean_and_estimate():
    estimate, clean = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 8.0)
    norm = gradient_norm(lambda u, n: 0.5 * u.square().sum((1, 2)), estimate, clean, clean, torch.full((1, 1, 1), 0.25))
    assert norm.item() == 2.0  # u = 8 / 4, and the slope of u^2 / 2 is u
