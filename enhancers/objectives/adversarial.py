"""Adversarial training as a row of ENHANCERS carries it: the second player and both players' losses."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.spectral import ForwardPass

Critic = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Adversary:
    """The critic a network is trained against, and how; `losses` of its row are added to the network's own loss.

    `critic` is built with the same sizes as the network. `critic_loss` takes its scores of (estimate, clean),
    `network_loss` those of the estimate; `condition` is what the critic sees beside either. `penalty` weighs the
    gradient penalty, none if 0. The network is updated after every `critic_steps` batches, the critic after each.
    All that the critic sees is divided by `level` of the condition, (B, 1, N) -> (B, 1, 1), and the network's scores
    are multiplied by it.

    Source: SYSTEMS.md section 6.2; Adam's betas and critic_steps are own choices there.
    Departs: with `level`. Pre-emphasised speech has an RMS of 0.01. A critic whose slope the penalty holds at one is
    all but linear in it, and its gap of 0.01 is lost beside a penalty of the order of one: it never told clean from
    enhanced windows (gap below 0.0005 for 250 steps; at one level 2.3 after 550).
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


def lsgan_d(estimate: Tensor, clean: Tensor) -> Tensor:
    """Least squares of a critic that scores clean speech 1 and estimates 0.

    Source: SYSTEMS.md section 6.2 (SEGAN).
    Shapes: scores (B,) twice -> ().

    >>> lsgan_d(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])).item()
    2.5
    """
    return 0.5 * ((clean - 1).square().mean() + estimate.square().mean())


def lsgan_g(estimate: Tensor) -> Tensor:
    """Least squares of a network that wants its estimates scored 1.

    Source: SYSTEMS.md section 6.2 (SEGAN).
    Shapes: scores (B,) -> ().

    >>> lsgan_g(torch.tensor([1.0, 3.0])).item()
    1.0
    """
    return 0.5 * (estimate - 1).square().mean()


def wgan_d(estimate: Tensor, clean: Tensor) -> Tensor:
    """Wasserstein loss of the critic, minus the critic gap: clean speech shall score above its estimates.

    Source: paper [004], eq. 1 with the sign of its first two terms swapped (SYSTEMS.md section 6.6): as printed both
    players raise the score of the estimate.
    Shapes: scores (B,) twice -> ().

    >>> wgan_d(torch.tensor([1.0, 3.0]), torch.tensor([5.0, 5.0])).item()
    -3.0
    """
    return estimate.mean() - clean.mean()


def wgan_g(estimate: Tensor) -> Tensor:
    """Wasserstein loss of the network: its estimates shall score high.

    Source: paper [004], eq. 2.
    Shapes: scores (B,) -> ().
    """
    return -estimate.mean()


def l1(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error.

    Source: paper [004], eq. 2.
    Shapes: equal, any.
    """
    return (estimate - reference).abs().mean()


def gradient_norm(critic: Critic, estimate: Tensor, clean: Tensor, noisy: Tensor, mix: Tensor) -> Tensor:
    """Slope of the critic in the speech alone, at a point between clean and estimate, for each example.

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
    """How far the critic's slopes are from one.

    Source: paper [004], eq. 1.
    Shapes: (B,) -> ().

    >>> gradient_penalty(torch.tensor([1.0, 3.0])).item()
    2.0
    """
    return (norm - 1).square().mean()
