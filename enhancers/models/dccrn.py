"""DCCRN: deep complex convolutional recurrent network, paper [003]."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.models.complex_layers import (
    ComplexBatchNorm,
    ComplexConv,
    ComplexLSTM,
    ComplexUpConv,
    complex_cat,
    half,
)
from clean_corpus.enhancers.models.layers import Memory, expect, flatten_bins, unflatten_bins

KERNEL = (2, 5)


class DCCRN(nn.Module):
    """Deep complex convolution recurrent network, noisy complex spectrum without DC to a complex mask.

    Each decoder layer looks one frame ahead, so the output is as many frames late as there are layers. The domain,
    `domains.dccrn.ComplexMask`, decides how the mask is applied (R, C or E).

    Source: paper [003], sections 2 and 3.2; SYSTEMS.md sections 5.1 and 5.6 (channels).
    Departs: `norm="real"` is the released code's default, not the text's.
    Size: 3,742,973 parameters (R, C, E; asserted in tests), 3,982,317 with the channels as printed, 3,671,917 with
    lstm="complex" and its channels (CL); 3,742,349, 3,981,581 and 3,671,053 with norm="real".
    Shapes: features (B, 2, T, n_freq) -> (B, 2, T, n_freq), real and imaginary part, not bounded; channels and units
    count real and imaginary ones together.
    Raises: ValueError if the features have another shape, a number of channels is odd, or the bins cannot be halved
    in every layer.
    """

    def __init__(
        self,
        *,
        n_freq: int = 256,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256, 256),
        units: int = 256,
        lstm: Literal["real", "complex"] = "real",
        norm: Literal["complex", "real"] = "complex",
    ) -> None:
        super().__init__()
        if n_freq % 2 ** len(channels):
            raise ValueError(f"{n_freq} bins cannot be halved {len(channels)} times")
        self.n_freq, self.lookahead = n_freq, len(channels)
        make_norm = ComplexBatchNorm if norm == "complex" else nn.BatchNorm2d
        ins, outs = (2, *channels), (*channels[-2::-1], 2)
        self.encoder = nn.ModuleList(ComplexConv(a, b, kernel=KERNEL) for a, b in pairwise(ins))
        self.encoder_ends = nn.ModuleList(nn.Sequential(make_norm(c), nn.PReLU()) for c in channels)
        make_middle = ComplexRecurrent if lstm == "complex" else Recurrent
        self.middle = make_middle(channels[-1] * (n_freq >> len(channels)), units)
        self.decoder = nn.ModuleList(
            ComplexUpConv(2 * c, o, kernel=KERNEL) for c, o in zip(reversed(channels), outs, strict=True)
        )
        self.decoder_ends = nn.ModuleList(nn.Sequential(make_norm(o), nn.PReLU()) for o in outs[:-1])
        self.decoder_ends.append(nn.Identity())

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=2, n_freq=self.n_freq)
        memory = memory or Memory()
        x, encoded = features, []
        for conv, end in zip(self.encoder, self.encoder_ends, strict=True):
            x = end(conv(x, memory))
            encoded.append(x)
        x = unflatten_bins(self.middle(flatten_bins(x), memory), x.shape[1])
        for late, (conv, end) in enumerate(zip(self.decoder, self.decoder_ends, strict=True)):
            x = end(conv(complex_cat(x, memory.delay(encoded.pop(), late)), memory))
        return x


class Recurrent(nn.Module):
    """Two LSTM layers and a dense one, on real and imaginary part as one vector.

    Source: paper [003], section 3.2.
    Shapes: (B, T, inputs), unchanged.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, num_layers=2, batch_first=True)
        self.dense = nn.Linear(units, inputs)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return self.dense(memory.recurrent(self.lstm, x))


class ComplexRecurrent(nn.Module):
    """Two complex LSTM layers, then one dense layer for the real part and another for the imaginary part.

    Source: paper [003], section 3.2; SYSTEMS.md section 5.6 (two dense layers).
    Shapes: (B, T, inputs), unchanged; the first half of the inputs real, the second imaginary.
    Raises: ValueError if the inputs or the units are odd.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList((ComplexLSTM(inputs, units), ComplexLSTM(units, units)))
        self.real, self.imag = nn.Linear(half(units), half(inputs)), nn.Linear(half(units), half(inputs))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        for lstm in self.lstms:
            x = lstm(x, memory)
        real, imag = x.chunk(2, -1)
        return torch.cat((self.real(real), self.imag(imag)), -1)
