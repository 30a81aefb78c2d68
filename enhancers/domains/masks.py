"""Complex masks: their size, their product, and what they make of a compressed spectrum.

Shapes: every mask (B, 2, T, F), real and imaginary part.
"""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS

FAINT = 1e-6  # a power that is nothing in a spectrum of RMS 1


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


def quotient(estimate: Tensor, noisy: Tensor) -> Tensor:
    """The mask that makes one spectrum of another; nearly 0 where the other is.

    Shapes: (B, T, F) complex twice -> (B, 2, T, F).

    >>> quotient(torch.tensor([[[2 + 0j]]]), torch.tensor([[[0 + 4j]]])).flatten().numpy().round(3)
    array([ 0. , -0.5], dtype=float32)
    """
    ratio = estimate * noisy.conj() / (noisy.abs().square() + FAINT)
    return torch.stack((ratio.real, ratio.imag), 1)


def level_gain(estimate: Tensor, noisy: Tensor, limit_db: float = 1.0) -> Tensor:
    """What brings an estimate that is too soft or too loud to the level that its speech has in the noisy signal.

    Noise that is not like the speech cancels out of <noisy, estimate>, so its share of <estimate, estimate> is the
    gain. Never more than `limit_db` either way: where there is no speech it would undo the enhancement.

    Source: least squares; training by scale-invariant losses leaves the level open.
    Shapes: (B, T, F) complex twice -> (B, 1, 1).

    >>> speech = torch.tensor([[[1j, -1, 2, 0]]])
    >>> round(level_gain(0.95 * speech, speech + torch.tensor([0, 0, 0, 5])).item(), 4)
    1.0526
    """
    alike = (estimate.conj() * noisy).real.sum((1, 2), keepdim=True)
    energy = estimate.abs().square().sum((1, 2), keepdim=True)
    limit = 10 ** (limit_db / 20)
    return (alike / energy.clamp_min(FAINT)).clamp(1 / limit, limit)
