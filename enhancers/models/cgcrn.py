"""CGCRN: causal convolutional encoder and decoder around grouped GRUs, paper [000]."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import (
    DownConv,
    Memory,
    Normalised,
    UpConv,
    expect,
    flatten_bins,
    halved,
    unflatten_bins,
)

Norms = Sequence[Callable[[Tensor], Tensor]]


class CGCRN(nn.Module):
    """Causal convolutional recurrent network with grouped GRUs and 1x1-convolution skips, noisy features to a mask.

    Source: paper [000], section III, table I (layers) and figure 4 (skips); SYSTEMS.md section 2.1, and section 2.4
    for what the paper leaves open. `skip`: table VI compares `none`, `add` and `conv`; `cat` doubles the decoder's
    inputs as figure 2b and the widths in table I have it. `groups` is P of section III-B, where P = 1 is one GRU.
    Departs: with two output channels the mask is complex and linear (option `crm` of SYSTEMS.md section 2.4), with
    two input channels the network sees a complex spectrum.
    Size: 3,764,307 parameters (asserted in tests); `none` and `add` 3,676,515, `cat` 3,937,731, groups=1 6,910,035,
    groups=4 2,191,443, out_channels=2 3,764,406.
    Shapes: features (B, in_channels, T, n_freq) -> (B, out_channels, T, n_freq), >= 0 where out_channels is 1. `norms`
    stand in for the network's own, in the order of `norms_in_order`.
    Raises: ValueError if the features have other channels or bins, or the bottleneck does not split into the groups.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        groups: int = 2,
        skip: Literal["none", "add", "conv", "cat"] = "conv",
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.in_channels, self.n_freq, self.skip = in_channels, n_freq, skip
        sizes = halved(n_freq, len(channels))
        self.encoder = nn.ModuleList(DownConv(a, b) for a, b in pairwise((in_channels, *channels)))
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        flat = channels[-1] * sizes[-1]
        if flat % groups:
            raise ValueError(f"{flat} bottleneck features do not split into {groups} groups")
        self.grus = nn.ModuleList(nn.GRU(flat // groups, flat // groups, batch_first=True) for _ in range(groups))
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) if skip == "conv" else nn.Identity() for c in channels)
        outs = (out_channels, *channels[:-1])
        fan_in = 2 if skip == "cat" else 1
        self.decoder = nn.ModuleList(
            UpConv(fan_in * c, o, narrow=narrow, wide=wide)
            for c, o, wide, narrow in zip(channels, outs, sizes[:-1], sizes[1:], strict=True)
        )
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs)
        self.activation = nn.LeakyReLU(slope)
        self.positive = out_channels == 1

    @property
    def norms_in_order(self) -> list[nn.BatchNorm2d]:
        """The normalisations of the encoder from its first layer on, then those of the decoder from its last layer."""
        return [*self.encoder_norms, *self.decoder_norms]

    @property
    def normalised(self) -> Normalised:
        """The convolutions that a normalisation follows at once."""
        return [
            *((down.conv, self.encoder_norms, i) for i, down in enumerate(self.encoder)),
            *((up.conv, self.decoder_norms, i) for i, up in enumerate(self.decoder)),
        ]

    def forward(self, features: Tensor, memory: Memory | None = None, *, norms: Norms | None = None) -> Tensor:
        expect(features, channels=self.in_channels, n_freq=self.n_freq)
        memory, norms = memory or Memory(), norms or self.norms_in_order
        levels = len(self.encoder)
        x, encoded = features, []
        for conv, norm in zip(self.encoder, norms[:levels], strict=True):
            x = self.activation(norm(conv(x, memory)))
            encoded.append(x)
        channels, parts = x.shape[1], flatten_bins(x).chunk(len(self.grus), -1)
        x = torch.cat([memory.recurrent(gru, part) for gru, part in zip(self.grus, parts, strict=True)], -1)
        x = unflatten_bins(x, channels)
        for level in reversed(range(levels)):
            if self.skip == "cat":
                x = torch.cat((x, encoded[level]), 1)
            elif self.skip != "none":
                x = x + self.skips[level](encoded[level])
            x = norms[levels + level](self.decoder[level](x, memory))
            if level:
                x = self.activation(x)
        return functional.softplus(x) if self.positive else x
