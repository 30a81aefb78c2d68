"""CRN with complex spectral mapping: one encoder, two decoders (real and imaginary); baseline of paper [003]."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, OddConvTranspose2d, expect, flatten_bins, unflatten_bins

KERNEL, STRIDE = (2, 3), (1, 2)


class ComplexCRN(nn.Module):
    """Convolutional recurrent network with a decoder for the real and another for the imaginary part of clean speech.

    Each decoder layer looks one frame ahead, so the output is as many frames late as there are layers.

    Source: paper [003], section 3.2, CRN, after Tan & Wang, ICASSP 2019; SYSTEMS.md section 5.3.
    Size: 5,707,698 parameters (asserted in tests), the paper's 6.1 M with 411,200 fixed STFT weights.
    Shapes: features (B, 2, T, n_freq), real and imaginary part -> the same, linear.
    Raises: ValueError if the features have another shape or n_freq is not 1 more than a multiple of 2 ** layers.
    """

    def __init__(
        self,
        *,
        n_freq: int = 257,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256, 256),
        units: int = 256,
    ) -> None:
        super().__init__()
        if (n_freq - 1) % 2 ** len(channels):
            raise ValueError(f"{n_freq - 1} bins above DC cannot be halved {len(channels)} times")
        self.n_freq, self.lookahead = n_freq, len(channels)
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, KERNEL, STRIDE, (0, 1)) for a, b in pairwise((2, *channels)))
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        flat = channels[-1] * (((n_freq - 1) >> len(channels)) + 1)
        self.lstm = nn.LSTM(flat, units, num_layers=2, batch_first=True)
        self.dense = nn.Linear(units, flat)
        self.decoders = nn.ModuleList(Decoder(channels) for _ in ("real", "imaginary"))

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=2, n_freq=self.n_freq)
        memory = memory or Memory()
        x, encoded = features, []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = functional.elu(norm(conv(memory.past(x, 1))))
            encoded.append(x)
        x = unflatten_bins(self.dense(memory.recurrent(self.lstm, flatten_bins(x))), x.shape[1])
        skips = [memory.delay(skip, late) for late, skip in enumerate(reversed(encoded))]
        return torch.cat([decoder(x, skips, memory) for decoder in self.decoders], 1)


class Decoder(nn.Module):
    """Transposed convolutions from the bottleneck to one part of the spectrum.

    Shapes: x and the first skip (B, channels[-1], T, F), the other skips up the encoder -> (B, 1, T, n_freq).
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        outs = (*channels[-2::-1], 1)
        self.convs = nn.ModuleList(
            OddConvTranspose2d(2 * c, o, KERNEL, (1, 1)) for c, o in zip(reversed(channels), outs, strict=True)
        )
        self.ends = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(o), nn.ELU()) for o in outs[:-1])
        self.ends.append(nn.Identity())

    def forward(self, x: Tensor, skips: list[Tensor], memory: Memory) -> Tensor:
        for conv, end, skip in zip(self.convs, self.ends, skips, strict=True):
            x = end(conv(memory.past(torch.cat((x, skip), 1), 1)))
        return x
