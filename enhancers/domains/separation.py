"""Speech and noise estimated together, paper [002]: network outputs and domains; speech comes first in dimension 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass, MagnitudeMask


class Decoded(NamedTuple):
    """Output of a network that estimates codes and decodes them.

    Shapes: codes (B, 2, T, code); decoded (B, 2, T, F), any sign; estimates (B, 2, T, F) magnitudes.
    """

    codes: Tensor
    decoded: Tensor
    estimates: Tensor


class Separated(NamedTuple):
    """Output of a network that estimates masks, then codes, and decodes these.

    Shapes: masks (B, 2, T, F), in [0, 1]; the others as in `Decoded`.
    """

    masks: Tensor
    codes: Tensor
    decoded: Tensor
    estimates: Tensor


class Reconstruction(NamedTuple):
    """Output of an auto-encoder, or of one for each source, for clean magnitudes.

    Shapes: magnitudes (B, T, F) or (B, 2, T, F); codes (B, T, code) or (B, 2, T, code), >= 0.
    """

    magnitudes: Tensor
    codes: Tensor


def per_source(functions: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    """Apply to each source its own function.

    Shapes: (B, 2, T, *) -> (B, 2, T, *).
    """
    return torch.stack([function(source) for function, source in zip(functions, x.unbind(1), strict=True)], 1)


def wiener_gains(decoded: Tensor) -> Tensor:
    """Return the gain of each source's Wiener filter, its share of the power.

    Source: paper [002], eq. 6.
    Shapes: (B, 2, T, F) magnitudes of any sign -> (B, 2, T, F) in [0, 1].

    >>> wiener_gains(torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1)).flatten().tolist()
    [0.8999999761581421, 0.10000000149011612]
    """
    power = decoded.float().square()  # half precision ends at 256 squared, a magnitude of loud speech
    return power / (power.sum(1, keepdim=True) + EPS)


@dataclass(frozen=True)
class SourceMasks(MagnitudeMask):
    """Domain of networks that turn the noisy magnitude into masks of speech and noise; the estimate is masked speech.

    Source: paper [002], eq. 4; SYSTEMS.md section 4.2.
    Shapes: features (B, T, F, complex) -> (B, 1, T, F); output (B, 2, T, F).
    """

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return output[:, 0] * noisy_spec


@dataclass(frozen=True)
class Separation(MagnitudeMask):
    """Domain of networks whose output is `Separated` or `Decoded`; the speech magnitude gets the noisy phase.

    Source: SYSTEMS.md sections 4.2 and 4.3.
    """

    def estimate(self, output: Decoded | Separated, noisy_spec: Tensor) -> Tensor:
        return torch.polar(output.estimates[:, 0], noisy_spec.angle())


def noise_spec(run: ForwardPass) -> Tensor:
    """Return the spectrum of the noise that was added to the clean signal.

    Shapes: -> (B, T, F) complex.
    """
    return run.noisy_spec - run.clean_spec


def source_magnitudes(run: ForwardPass) -> Tensor:
    """Return the magnitudes of clean speech and of noise.

    Shapes: -> (B, 2, T, F).
    """
    return torch.stack((run.clean_spec.abs(), noise_spec(run).abs()), 1)
