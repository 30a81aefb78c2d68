"""Masker CRN: first stage of CRN+DNN-DEC, and baselines CRN-cPSIRM, CRN-IRM and CRN-Mag, paper [002]."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import DownConv, Memory, UpConv, expect, flatten_bins, halved, unflatten_bins


class MaskerCRN(nn.Module):
    """Convolutional recurrent network without convolution over time, noisy magnitude to masks of speech and noise.

    Source: paper [002], section IV-A; SYSTEMS.md sections 4.2 and 4.5 (one decoder, LSTM 1024, layer back to 1792).
    Size: 22,170,258 parameters; out_channels = 1: 22,170,161 (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> (B, out_channels, T, n_freq), in [0, 1] if sigmoid, >= 0 if softplus.
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    def __init__(
        self,
        *,
        n_freq: int = 257,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        units: int = 1024,
        out_channels: int = 2,
        output: Literal["sigmoid", "softplus"] = "sigmoid",
    ) -> None:
        super().__init__()
        self.n_freq = n_freq
        sizes = halved(n_freq, len(channels))
        self.encoder = nn.ModuleList(DownConv(a, b, kernel_t=1) for a, b in pairwise((1, *channels)))
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        flat = channels[-1] * sizes[-1]
        self.lstm = nn.LSTM(flat, units, 2, batch_first=True)
        self.widen = nn.Linear(units, flat)
        outs = (out_channels, *channels[:-1])
        self.decoder = nn.ModuleList(
            UpConv(2 * c, o, narrow=narrow, wide=wide, kernel_t=1)
            for c, o, wide, narrow in zip(channels, outs, sizes[:-1], sizes[1:], strict=True)
        )
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(o) for o in outs[1:])
        self.output = {"sigmoid": torch.sigmoid, "softplus": functional.softplus}[output]

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Tensor:
        expect(noisy_mag, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x, encoded = noisy_mag, []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = functional.elu(norm(conv(x, memory)))
            encoded.append(x)
        channels = x.shape[1]
        x = unflatten_bins(self.widen(memory.recurrent(self.lstm, flatten_bins(x))), channels)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](torch.cat((x, encoded[level]), 1), memory)
            if level:
                x = functional.elu(self.decoder_norms[level - 1](x))
        return self.output(x)
