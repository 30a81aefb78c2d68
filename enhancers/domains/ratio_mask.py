"""Domain of the complex ratio mask whose parts are compressed to a range that a network can reach, paper [000]."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import MagnitudeMask

CEILING = 10.0  # K: no compressed part is beyond it
STEEPNESS = 0.1  # C


def compress(mask: Tensor) -> Tensor:
    """Return K (1 - exp(-C M)) / (1 + exp(-C M)) for each part M of a mask, with K = 10 and C = 0.1.

    Source: Williamson et al. 2016 (paper [000], reference 6); SYSTEMS.md section 2.4 for K and C.
    Shapes: any -> the same, within (-K, K).

    >>> compress(torch.tensor([0.0, 1.0, -1e4])).numpy().round(4)
    array([  0.    ,   0.4996, -10.    ], dtype=float32)
    """
    return CEILING * torch.tanh(STEEPNESS / 2 * mask)


def expand(compressed: Tensor, limit: float) -> Tensor:
    """Undo `compress`, for parts of a mask up to a limit.

    Shapes: any -> the same, within [-limit, limit].

    >>> expand(compress(torch.tensor([0.5, -2.0, 40.0])), 10.0).numpy().round(3)
    array([ 0.5, -2. , 10. ], dtype=float32)
    """
    reach = (compress(torch.tensor(limit)) / CEILING).item()
    return 2 / STEEPNESS * torch.atanh((compressed / CEILING).clamp(-reach, reach))


@dataclass(frozen=True)
class CompressedRatioMask(MagnitudeMask):
    """Domain of networks that turn the noisy magnitude into both compressed parts of the complex ratio mask.

    The magnitude says nothing of a phase, so that the best a network can do is a mean over the phases it has met.

    Source: paper [000], section III-C: magnitude in, complex ratio mask as the target; SYSTEMS.md section 2.4, `crm`.
    Departs: parts of the mask beyond 10 are cut in use, as those of the amplitude mask are in its target.
    Shapes: features (B, T, F, complex) -> (B, 1, T, F); output (B, 2, T, F) = real and imaginary part, compressed.
    """

    limit: float = 10.0

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return torch.complex(*expand(output, self.limit).unbind(1)) * noisy_spec
