"""CRN, baseline of papers [000] and [001], with the encoder and decoder that the stages of PL-CRNN share."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.progressive import MagnitudeTarget, StageOutput
from clean_corpus.enhancers.models.layers import DownConv, Memory, UpConv, expect, flatten_bins, halved, unflatten_bins


class Encoder(nn.Module):
    """Causal convolutions, each of which halves the bins, followed by BatchNorm and ELU.

    Source: paper [001], table 1.
    Shapes: (B, in_channels, T, F) -> the output of every level, (B, channels[k], T, halved(F)[k + 1]).
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(DownConv(a, b) for a, b in pairwise((in_channels, *channels)))
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)

    def forward(self, x: Tensor, memory: Memory) -> list[Tensor]:
        encoded = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.elu(norm(conv(x, memory)))
            encoded.append(x)
        return encoded


class Decoder(nn.Module):
    """Mirror of the encoder: each level concatenates the encoder's output and doubles the bins.

    The last level has BatchNorm only with last_norm.

    Source: paper [001], table 1; SYSTEMS.md sections 2.4 and 3.4 (BatchNorm on the last level).
    Shapes: x as encoded[-1] -> (B, 1, T, sizes[0]), linear.
    """

    def __init__(self, channels: tuple[int, ...], sizes: list[int], *, last_norm: bool) -> None:
        super().__init__()
        outs = (1, *channels[:-1])
        self.convs = nn.ModuleList(
            UpConv(2 * c, o, narrow=narrow, wide=wide)
            for c, o, wide, narrow in zip(channels, outs, sizes[:-1], sizes[1:], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) if i or last_norm else nn.Identity() for i, o in enumerate(outs))

    def forward(self, x: Tensor, encoded: list[Tensor], memory: Memory) -> Tensor:
        for level in reversed(range(len(self.convs))):
            x = self.norms[level](self.convs[level](torch.cat((x, encoded[level]), 1), memory))
            if level:
                x = functional.elu(x)
        return x


class CRN(nn.Module):
    """Causal convolutional recurrent network with concatenated skips, noisy magnitude to a mask or a magnitude.

    It is the CRN of paper [000] and, without BatchNorm on the last layer, CRNN and (all widths halved) SCRNN of [001].

    Source: Tan & Wang, Interspeech 2018; paper [000], section V; paper [001], section 4.2; SYSTEMS.md sections 2.2
    and 3.2.
    Size: 17,579,459 parameters (asserted in tests); CRNN 17,579,457; SCRNN 4,399,585.
    Shapes: features (B, 1, T, n_freq) -> (B, 1, T, n_freq), >= 0: softplus, which [000] trains as a mask and [001] as
    a magnitude (target `tms`), or a mask in (0, 1) times the features (`iam`).
    Raises: ValueError if the features have other channels or bins, or the target is neither.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        last_norm: bool = True,
        target: MagnitudeTarget = "tms",
    ) -> None:
        super().__init__()
        self.n_freq = n_freq
        sizes = halved(n_freq, len(channels))
        flat = channels[-1] * sizes[-1]
        self.encoder = Encoder(1, channels)
        self.lstm = nn.LSTM(flat, flat, num_layers=2, batch_first=True)
        self.decoder = Decoder(channels, sizes, last_norm=last_norm)
        self.output = StageOutput(target)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        encoded = self.encoder(features, memory)
        x = memory.recurrent(self.lstm, flatten_bins(encoded[-1]))
        x = unflatten_bins(x, encoded[-1].shape[1])
        return self.output(self.decoder(x, encoded, memory), features)
