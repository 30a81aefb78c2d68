"""Two-pass CGCRN, an extension of our own: the network is applied to its own result a second time."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.masks import compressed_gain, limited, post_filter_gain, product
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.layers import Memory


class RefinedCGCRN(nn.Module):
    """Two-pass network: the complex CGCRN, then the same weights on its result mixed with a share of its input; causal.

    After the first pass the signal has less noise, where the network works best; the share lets the second pass recover
    what the first one removed by mistake. Only the statistics of the normalisations are each pass's own, since the two
    hear signals of different noise. No bin is raised by more than `max_gain`. Only in use, not in training, a
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
        self.second_statistics = nn.ModuleList(
            nn.BatchNorm2d(norm.num_features, affine=False) for norm in self.network.norms_in_order
        )
        self.register_load_state_dict_pre_hook(_fill_statistics)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        memory = memory or Memory()
        first = limited(self.network(features, memory), self.max_gain)
        gain = torch.stack(((1 - self.share) * first[:, 0] + self.share, (1 - self.share) * first[:, 1]), 1)
        pairs = zip(self.network.norms_in_order, self.second_statistics, strict=True)
        norms = [partial(_normalised, weights=weights, statistics=own) for weights, own in pairs]
        second = self.network(compressed_gain(features, gain, self.power), memory, norms=norms)
        mask = limited(product(second, gain), self.max_gain)
        return mask if self.training else mask * (self.makeup * post_filter_gain(mask, self.post_filter))


def _normalised(x: Tensor, *, weights: nn.BatchNorm2d, statistics: nn.BatchNorm2d) -> Tensor:
    """Apply a normalisation with the statistics of another one."""
    mean, var, momentum = statistics.running_mean, statistics.running_var, statistics.momentum
    return functional.batch_norm(x, mean, var, weights.weight, weights.bias, statistics.training, momentum, weights.eps)


def _fill_statistics(module: RefinedCGCRN, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the second pass the statistics of the first where a state has those only: both passes had them in common."""
    names = [f"encoder_norms.{i}" for i in range(len(module.network.encoder_norms))]
    names += [f"decoder_norms.{i}" for i in range(len(module.network.decoder_norms))]
    for i, name in enumerate(names):
        for value in ("running_mean", "running_var", "num_batches_tracked"):
            if (shared := f"{prefix}network.{name}.{value}") in state:
                state.setdefault(f"{prefix}second_statistics.{i}.{value}", state[shared])
