"""CGCRN heard twice: an own extension of paper [000]."""

import torch
from torch import Tensor, nn

from enhancers.domains import EPS
from enhancers.layers import Memory
from enhancers.models.cgcrn import CGCRN


class RefinedCGCRN(nn.Module):
    """The complex CGCRN applied to its own result, softened with a share of its input; same weights, still causal.

    After the first pass the signal has less noise, where the network is at its best; the share keeps what the first
    pass took by mistake within reach of the second. In use, not in training, a post-filter of strength `post_filter`
    lowers bins further whose mask is small, and leaves those near one. No bin is raised by more than `max_gain`.

    Source: own; the network is that of paper [000] with two channels in and out (SYSTEMS.md section 2.1, `crm`). The
    post-filter is that of Valin et al. 2020 (arXiv:2008.04259, section 5) in the form of DeepFilterNet's code.
    Departs: features are the spectrum compressed by `power`, as `domains.CompressedComplex` makes them.
    Size: 3,764,502 parameters, those of one CGCRN (asserted in tests); twice its work.
    Shapes: features (B, 2, T, n_freq) -> (B, 2, T, n_freq), real and imaginary part of one mask for both passes.
    Raises: ValueError if the features have other channels or bins, or share is not between 0 and 1.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        groups: int = 2,
        share: float = 0.3,
        post_filter: float = 0.004,
        power: float = 0.5,
        max_gain: float = 2.0,
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share {share} of the input in the second pass: expected 0 to 1")
        self.share, self.post_filter, self.power, self.max_gain = share, post_filter, power, max_gain
        self.network = CGCRN(n_freq=n_freq, in_channels=2, out_channels=2, channels=channels, groups=groups)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        memory = memory or Memory()
        first = limited(self.network(features, memory), self.max_gain)
        gain = torch.stack(((1 - self.share) * first[:, 0] + self.share, (1 - self.share) * first[:, 1]), 1)
        softened = _product(gain, features)  # a gain on the spectrum compresses as the spectrum does:
        features = softened * _modulus(gain).pow(self.power - 1)
        mask = limited(_product(self.network(features, memory), gain), self.max_gain)
        return mask if self.training else mask * post_filter_gain(mask, self.post_filter)


def limited(mask: Tensor, max_gain: float) -> Tensor:
    """A complex mask whose modulus is at most max_gain.

    Where a recording was low-passed the network has nothing to go by, and would raise what is left by 60 dB.

    Shapes: (B, 2, T, F) real and imaginary part -> the same.

    >>> limited(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), 2.5).flatten().tolist()
    [1.5, 2.0]
    """
    return mask * (max_gain / _modulus(mask)).clamp_max(1.0)


def post_filter_gain(mask: Tensor, strength: float) -> Tensor:
    """What a post-filter makes of each bin: 1 where the mask's modulus is 1 or more, less below, 0 where it is 0.

    Source: Valin et al. 2020 (arXiv:2008.04259), as a gain: (1 + b) / (1 + b / sin^2(pi |M| / 2)).
    Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F).

    >>> post_filter_gain(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), 0.02).item()
    1.0
    """
    modulus = _modulus(mask).clamp_max(1.0)
    return (1 + strength) / (1 + strength / torch.sin(torch.pi / 2 * modulus).square())


def _modulus(mask: Tensor) -> Tensor:
    """Shapes: (B, 2, T, F) real and imaginary part -> (B, 1, T, F), > 0."""
    return mask.square().sum(1, keepdim=True).clamp_min(EPS**2).sqrt()


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Complex product of real and imaginary parts in dimension 1."""
    return torch.stack((a[:, 0] * b[:, 0] - a[:, 1] * b[:, 1], a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]), 1)
