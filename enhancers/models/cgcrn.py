"""CGCRN, paper [000]."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class CGCRN(nn.Module):
    """Causal convolutional recurrent network with grouped GRUs and 1x1-convolution skips, noisy features to a mask.

    Source: paper [000], tables I and II; SYSTEMS.md section 2.1 and its decisions.
    Departs: in_channels = out_channels = 2 takes a complex spectrum and gives a linear complex mask (option `crm`).
    Size: 3,764,307 parameters (asserted in tests); `none` and `add` 3,676,515, `cat` 3,937,731, groups=1 6,910,035.
    Shapes: features (B, in_channels, T, n_freq) -> (B, out_channels, T, n_freq), >= 0 where out_channels is 1.
    Raises: ValueError if the features have other channels or bins.
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
        self.in_shape = (in_channels, n_freq)
        self.skip = skip
        sizes = [n_freq]
        for _ in channels:
            sizes.append((sizes[-1] - 3) // 2 + 1)
        widths = (in_channels, *channels)
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, (2, 3), (1, 2)), nn.BatchNorm2d(b), nn.LeakyReLU(slope))
            for a, b in pairwise(widths)
        )
        flat = channels[-1] * sizes[-1]
        if flat % groups:
            raise ValueError(f"{flat} bottleneck features do not split into {groups} groups")
        self.grus = nn.ModuleList(nn.GRU(flat // groups, flat // groups, batch_first=True) for _ in range(groups))
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) if skip == "conv" else nn.Identity() for c in channels)
        outs = (out_channels, *channels[:-1])
        fan_in = 2 if skip == "cat" else 1
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(fan_in * c, o, (2, 3), (1, 2), output_padding=(0, wide - (2 * (narrow - 1) + 3))),
                nn.BatchNorm2d(o),
            )
            for c, o, wide, narrow in zip(channels, outs, sizes[:-1], sizes[1:], strict=True)
        )
        self.activation = nn.LeakyReLU(slope)
        self.positive = out_channels == 1

    def forward(self, features: Tensor) -> Tensor:
        if (features.shape[1], features.shape[3]) != self.in_shape:
            raise ValueError(
                f"features {tuple(features.shape)}: expected (B, {self.in_shape[0]}, T, {self.in_shape[1]})"
            )
        x, encoded = features, []
        for layer in self.encoder:
            x = layer(functional.pad(x, (0, 0, 1, 0)))  # one past frame: causal
            encoded.append(x)
        batch, channels, frames, freq = x.shape
        x = x.transpose(1, 2).reshape(batch, frames, channels * freq)  # (B, T, C * F), channel-major
        parts = x.chunk(len(self.grus), -1)
        x = torch.cat([gru(part)[0] for gru, part in zip(self.grus, parts, strict=True)], -1)
        x = x.reshape(batch, frames, channels, freq).transpose(1, 2)  # (B, C, T, F)
        for level in reversed(range(len(self.decoder))):
            if self.skip == "cat":
                x = torch.cat((x, encoded[level]), 1)
            elif self.skip != "none":
                x = x + self.skips[level](encoded[level])
            x = self.decoder[level](x)[:, :, :frames]  # T + 1 frames come out; the last one would see the future
            if level:
                x = self.activation(x)
        return functional.softplus(x) if self.positive else x
