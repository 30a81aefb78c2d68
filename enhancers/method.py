"""A row of the table of systems: network, domain, and the stages of its training."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from clean_corpus.enhancers.domains.spectral import Domain, ForwardPass
from clean_corpus.enhancers.objectives.adversarial import Adversary
from clean_corpus.pipeline.core.errors import ConfigError, nearest

Loss = Callable[[Any, Tensor], Tensor]
Target = Callable[[ForwardPass], tuple[Any, Tensor]]


@dataclass(frozen=True)
class Stage:
    """One stage of a training: its target, its losses, and the parts of the network that learn.

    `losses` is a name -> (function, weight) table; the training loss is the weighted sum, and each term is logged.
    `parts` are names of submodules, empty for all. `prepare` runs before the stage and fits from some training batches
    what is not learnt by gradients.
    """

    name: str
    target: Target
    losses: dict[str, tuple[Loss, float]]
    parts: tuple[str, ...] = ()
    prepare: Callable[[nn.Module, Iterable[ForwardPass]], None] | None = None


@dataclass(frozen=True)
class Method:
    """One system: a network, the domain it works in, and its training.

    `target`, `losses` and `parts` belong to the last stage of training, for most systems the only one; `before` holds
    the others. An adversary makes the last stage adversarial. `paper` is the number of the paper that describes the
    system, or `own` for a network of this project.
    """

    network: Callable[..., nn.Module]
    domain: Domain
    target: Target
    losses: dict[str, tuple[Loss, float]]
    paper: str
    before: tuple[Stage, ...] = ()
    parts: tuple[str, ...] = ()
    adversary: Adversary | None = None
    sample_rate: int = 16000

    @property
    def schedule(self) -> tuple[Stage, ...]:
        """Return the stages of training in order."""
        return (*self.before, Stage("final", self.target, self.losses, self.parts))

    def build(self, **sizes: object) -> nn.Module:
        """Build the network, with the paper's sizes where none are given.

        Raises: ConfigError if a size is not a keyword of the network, or not one that it can have.
        """
        known = [p.name for p in inspect.signature(self.network).parameters.values()]
        for key in sizes:
            if key not in known:
                raise ConfigError(f"size {key!r} is not one of {', '.join(known)}{nearest(key, known)}")
        try:
            return self.network(**sizes)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"sizes {sizes}: {error}") from None
