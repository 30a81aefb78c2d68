"""What a row of the table of systems says."""

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
    """One step of a training schedule: what is compared, by which losses, and which parts of the network learn.

    `losses` is a name -> (function, weight) table; the training loss is the weighted sum and each term is logged.
    `parts` are names of submodules, all if empty. `prepare` fits, before the stage, what no gradient fits, from passes
    over some training batches.
    """

    name: str
    target: Target
    losses: dict[str, tuple[Loss, float]]
    parts: tuple[str, ...] = ()
    prepare: Callable[[nn.Module, Iterable[ForwardPass]], None] | None = None


@dataclass(frozen=True)
class Method:
    """One system: a network, what it sees and estimates, and what it is trained towards.

    `target`, `losses` and `parts` are those of the last stage of training, most systems' only one; `before` are the
    others. An adversary makes the last stage adversarial. `paper` is the number of the paper that describes the system.
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
        """The stages of training in order."""
        return (*self.before, Stage("final", self.target, self.losses, self.parts))

    def build(self, **sizes: object) -> nn.Module:
        """The network with other sizes than the paper's where given.

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
