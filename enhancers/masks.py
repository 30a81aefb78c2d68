"""Complex masks: their size, their product, and what they make of a compressed spectrum.

Shapes: every mask (B, 2, T, F), real and imaginary part.
"""

import torch
from torch import Tensor

from enhancers.domains import EPS


def limited(mask: Tensor, max_gain: float) -> Tensor:
    """A complex mask whose modulus is at most max_gain.

    Where a recording was low-passed the network has nothing to go by, and would raise what is left by 60 dB.

    Shapes: (B, 2, T, F) real and imaginary part -> the same.

    >>> limited(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), 2.5).flatten().tolist()
    [1.5, 2.0]
    """
    return mask * (max_gain / modulus(mask)).clamp_max(1.0)


def post_filter_gain(mask: Tensor, strength: float) -> Tensor:
    """What a post-filter makes of each bin: 1 where the mask's modulus is 1 or more, less below, 0 where it is 0.

    Source: Valin et al. 2020 (arXiv:2008.04259), as a gain: (1 + b) / (1 + b / sin^2(pi |M| / 2)).
    Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F).

    >>> post_filter_gain(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), 0.02).item()
    1.0
    """
    size = modulus(mask).clamp_max(1.0)
    return (1 + strength) / (1 + strength / torch.sin(torch.pi / 2 * size).square())


def modulus(mask: Tensor) -> Tensor:
    """Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F), > 0."""
    return mask.square().sum(1, keepdim=True).clamp_min(EPS**2).sqrt()


def product(a: Tensor, b: Tensor) -> Tensor:
    """Complex product of real and imaginary parts in dimension 1."""
    return torch.stack((a[:, 0] * b[:, 0] - a[:, 1] * b[:, 1], a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]), 1)


def compressed_gain(features: Tensor, mask: Tensor, power: float) -> Tensor:
    """The compressed spectrum of what a mask makes of a spectrum: the mask's modulus is compressed as the spectrum was.

    Shapes: features (B, 2, T, F) real and imaginary part, compressed -> the same.
    """
    return product(mask, features) * modulus(mask).pow(power - 1)
