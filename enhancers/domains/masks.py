"""Complex masks: limit, product, quotient, post-filter and level.

Shapes: every mask (B, 2, T, F), real and imaginary part.
"""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.spectral import EPS

FAINT = 1e-6  # negligible power in a spectrum of RMS 1


def limited(mask: Tensor, max_gain: float) -> Tensor:
    """Return a complex mask with its modulus limited to max_gain.

    Above the cut-off of a low-passed recording a network has no evidence, and raised the rest by up to 60 dB.

    Shapes: (B, 2, T, F) real and imaginary part -> the same.

    >>> limited(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), 2.5).flatten().tolist()
    [1.5, 2.0]
    """
    return mask * (max_gain / modulus(mask)).clamp_max(1.0)


def post_filter_gain(mask: Tensor, strength: float) -> Tensor:
    """Return the gain of a post-filter for each bin: 1 where the mask's modulus is 1 or more, falling to 0 with it.

    Source: envelope post-filter of Valin et al. 2020 (arXiv:2008.04259), as the gain
    (1 + b) / (1 + b / sin^2(pi |M| / 2)).
    Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F).

    >>> post_filter_gain(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), 0.02).item()
    1.0
    """
    size = modulus(mask).clamp_max(1.0)
    return (1 + strength) / (1 + strength / torch.sin(torch.pi / 2 * size).square())


def modulus(mask: Tensor) -> Tensor:
    """Return the modulus of a complex mask.

    Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F), > 0.
    """
    return mask.square().sum(1, keepdim=True).clamp_min(EPS**2).sqrt()


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the complex product.

    Shapes: (B, 2, T, F) real and imaginary part, twice -> the same.
    """
    return torch.stack((a[:, 0] * b[:, 0] - a[:, 1] * b[:, 1], a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]), 1)


def compressed_gain(features: Tensor, mask: Tensor, power: float) -> Tensor:
    """Return the compressed form of a masked spectrum, given the compressed spectrum and the uncompressed mask.

    Shapes: features (B, 2, T, F) real and imaginary part, compressed -> the same.
    """
    return product(mask, features) * modulus(mask).pow(power - 1)


def quotient(estimate: Tensor, noisy: Tensor) -> Tensor:
    """Return the mask that turns the noisy spectrum into the estimate; it is nearly 0 where the noisy one is.

    Shapes: (B, T, F) complex twice -> (B, 2, T, F).

    >>> quotient(torch.tensor([[[2 + 0j]]]), torch.tensor([[[0 + 4j]]])).flatten().numpy().round(3)
    array([ 0. , -0.5], dtype=float32)
    """
    ratio = estimate * noisy.conj() / (noisy.abs().square() + FAINT)
    return torch.stack((ratio.real, ratio.imag), 1)


def level_gain(estimate: Tensor, noisy: Tensor, limit_db: float = 1.0) -> Tensor:
    """Return the gain that gives the estimate the level which its speech has in the noisy signal.

    Noise that is uncorrelated with the speech cancels out of <noisy, estimate>, so the gain is the ratio of that to
    <estimate, estimate>. It is at most `limit_db` up or down: where there is no speech it would undo the enhancement.

    Source: least squares; scale-invariant losses leave the level open.
    Shapes: (B, T, F) complex twice -> (B, 1, 1).

    >>> speech = torch.tensor([[[1j, -1, 2, 0]]])
    >>> round(level_gain(0.95 * speech, speech + torch.tensor([0, 0, 0, 5])).item(), 4)
    1.0526
    """
    alike = (estimate.conj() * noisy).real.sum((1, 2), keepdim=True)
    energy = estimate.abs().square().sum((1, 2), keepdim=True)
    limit = 10 ** (limit_db / 20)
    return (alike / energy.clamp_min(FAINT)).clamp(1 / limit, limit)
