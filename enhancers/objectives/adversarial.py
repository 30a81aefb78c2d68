"""Adversarial training: the critic of a row of the table, and the losses of network and critic."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.spectral import ForwardPass

Critic = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Adversary:
    """A critic and how a network is trained against it; the losses of the network's row are added to its own loss.

    `critic` is built with the same sizes as the network. `critic_loss` takes its scores of (estimate, clean),
    `network_loss` those of the estimate; `condition` gives what the critic sees beside either. `penalty` weighs the
    gradient penalty, 0 for none. The critic is updated after each batch, the network after every `critic_steps`.
    Everything that the critic sees is divided by `level` of the condition, (B, 1, N) -> (B, 1, 1), and its scores of
    the network's estimates are multiplied by it.

    Source: paper [004], section 3.1 (learning rates, weights); SYSTEMS.md section 6.2, where Adam's betas and
    critic_steps are own choices.
    Departs: with `level`. Pre-emphasised speech has an RMS of 0.01. A critic whose slope the penalty holds at 1 is
    almost linear over that range, and its gap of 0.01 vanishes beside a penalty near 1: without `level` it never
    separated clean from enhanced windows (gap below 0.0005 for 250 steps, with `level` 2.3 after 550).
    """

    critic: Callable[..., nn.Module]
    condition: Callable[[ForwardPass], Tensor]
    critic_loss: Callable[[Tensor, Tensor], Tensor]
    network_loss: Callable[[Tensor], Tensor]
    penalty: float = 0.0
    learning_rate: float = 5e-5
    critic_learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.0, 0.9)
    critic_steps: int = 1
    level: Callable[[Tensor], Tensor] | None = None


def noisy_windows(run: ForwardPass) -> Tensor:
    """Return the windows that the network saw, which a critic sees beside those it scores.

    Shapes: -> (B * W, 1, window).
    """
    return run.domain.cut(run.noisy)


def lsgan_d(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the least-squares loss of a critic that should score clean speech 1 and estimates 0.

    Source: SYSTEMS.md section 6.2 (SEGAN).
    Shapes: scores (B,) twice -> ().

    >>> lsgan_d(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])).item()
    2.5
    """
    return 0.5 * ((clean - 1).square().mean() + estimate.square().mean())


def lsgan_g(estimate: Tensor) -> Tensor:
    """Return the least-squares loss of a network whose estimates the critic should score 1.

    Source: SYSTEMS.md section 6.2 (SEGAN).
    Shapes: scores (B,) -> ().

    >>> lsgan_g(torch.tensor([1.0, 3.0])).item()
    1.0
    """
    return 0.5 * (estimate - 1).square().mean()


def wgan_d(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the Wasserstein loss of the critic: the mean score of estimates less that of clean speech.

    Source: paper [004], eq. 1 with the signs of its first two terms swapped (SYSTEMS.md section 6.6): as printed, both
    players raise the score of the estimate.
    Shapes: scores (B,) twice -> ().

    >>> wgan_d(torch.tensor([1.0, 3.0]), torch.tensor([5.0, 5.0])).item()
    -3.0
    """
    return estimate.mean() - clean.mean()


def wgan_g(estimate: Tensor) -> Tensor:
    """Return the Wasserstein loss of the network: minus the mean score of its estimates.

    Source: paper [004], eq. 2.
    Shapes: scores (B,) -> ().
    """
    return -estimate.mean()


def l1(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the mean absolute error.

    Source: paper [004], eq. 2.
    Shapes: equal, any.
    """
    return (estimate - reference).abs().mean()


def gradient_norm(critic: Critic, estimate: Tensor, clean: Tensor, noisy: Tensor, mix: Tensor) -> Tensor:
    """Return the norm of the critic's gradient in the speech, at a point between clean and estimate of each example.

    Source: paper [004], eq. 1; u = mix clean + (1 - mix) estimate, the noisy condition held fixed (SYSTEMS.md
    section 6.6).
    Shapes: estimate, clean, noisy (B, 1, N); mix (B, 1, 1) in [0, 1] -> (B,), differentiable in the critic's weights.

    >>> x = torch.zeros(1, 1, 2)
    >>> gradient_norm(lambda u, noisy: (u * torch.tensor([3.0, 4.0])).sum((1, 2)), x, x, x, torch.ones(1, 1, 1)).item()
    5.0
    """
    between = torch.lerp(estimate, clean, mix).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, noisy).sum(), between, create_graph=True)
    return torch.linalg.vector_norm(slope.flatten(1), dim=1)


def gradient_penalty(norm: Tensor) -> Tensor:
    """Return the mean squared distance of the gradient's norm from 1.

    Source: paper [004], eq. 1.
    Shapes: (B,) -> ().

    >>> gradient_penalty(torch.tensor([1.0, 3.0])).item()
    2.0
    """
    return (norm - 1).square().mean()
