"""Two-pass CGCRN, an extension of our own: the network is applied to its own result a second time."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.masks import compressed_gain, limited, post_filter_gain, product
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.layers import Memory


class RefinedCGCRN(nn.Module):
    """Two-pass network: the complex CGCRN, then the same weights on its result mixed with a share of its input; causal.

    After the first pass the signal has less noise, where the network works best; the share lets the second pass recover
    what the first one removed by mistake. No bin is raised by more than `max_gain`. Only in use, not in training, a
    post-filter of strength `post_filter` lowers bins with a small mask further, and `makeup_db` restores the level,
    which scale-invariant losses leave too low by about the same amount everywhere.

    Source: own; the network is that of paper [000] with two channels in and out (SYSTEMS.md section 2.4, `crm`). The
    post-filter is that of Valin et al. 2020 (arXiv:2008.04259) in the form of DeepFilterNet's code.
    Departs: features are the spectrum compressed by `power`, as `domains.spectral.CompressedComplex` makes them.
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
        makeup_db: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share {share} of the input in the second pass: expected 0 to 1")
        self.share, self.post_filter, self.power, self.max_gain = share, post_filter, power, max_gain
        self.makeup = 10 ** (makeup_db / 20)
        self.network = CGCRN(n_freq=n_freq, in_channels=2, out_channels=2, channels=channels, groups=groups)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        memory = memory or Memory()
        first = limited(self.network(features, memory), self.max_gain)
        gain = torch.stack(((1 - self.share) * first[:, 0] + self.share, (1 - self.share) * first[:, 1]), 1)
        second = self.network(compressed_gain(features, gain, self.power), memory)
        mask = limited(product(second, gain), self.max_gain)
        return mask if self.training else mask * (self.makeup * post_filter_gain(mask, self.post_filter))
