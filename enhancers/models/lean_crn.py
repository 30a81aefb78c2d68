"""LeanCRN: a small and fast convolutional recurrent network, developed in this project."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, expect

LINEAR_BINS = 64
"""Bins of 31.25 Hz that are not merged into bands: below 2 kHz they resolve single harmonics."""
POWER_FLOOR = 1e-8  # negligible in a spectrum of RMS 1


class LeanCRN(nn.Module):
    """Convolutional recurrent network that filters each bin of a noisy spectrum over three frames.

    An encoder merges the bins of the compressed spectrum and magnitude into bands, and two strided convolutions reduce
    these to 33. Each block mixes the bands of a frame, then runs along the frames of each band. The decoder leads back
    to bins by two convolutions, and two more, which see the noisy bins as well, give a complex filter. With `causal`
    no frame depends on a later one; without it, a second recurrence runs back from the end of the signal, and the
    filter reaches one frame ahead.

    Source: own. Bands as in Rong et al. 2024 (arXiv:2402.08401), the deep filter of Mack & Habets 2020
    (arXiv:1904.08369), convolution and full matrix across bands of Quan & Li 2024 (arXiv:2307.16516), LSTMs along
    time shared by all bands of Luo et al. 2020 (arXiv:1910.06379).
    Departs: a convolution and a matrix mix the bands, not a recurrence in both directions, which takes twice as long
    in training (104 ms instead of 49 for 8 times 3 s on one core); LSTMs, since oneDNN runs them two to three times as
    fast as GRUs in inference.
    Size: 309,390 parameters, 302,478 with `causal` and `along` 48 (asserted in tests).
    Shapes: spectrum (B, 2, T, 257), real and imaginary part at RMS 1, of which frames (B,) are valid -> the same.
    Raises: ValueError if the spectrum has other channels or bins.
    """

    def __init__(
        self,
        *,
        causal: bool = False,
        n_freq: int = 257,
        bands: int = 129,
        narrow: int = 24,
        channels: int = 40,
        blocks: int = 3,
        across: int = 8,
        along: int = 32,
        taps: int = 3,
        power: float = 0.3,
        max_gain: float = 2.0,
    ) -> None:
        super().__init__()
        self.causal, self.n_freq, self.taps, self.power, self.max_gain = causal, n_freq, taps, power, max_gain
        self.attends = not causal
        to_bands = erb_bands(n_freq, bands)
        self.register_buffer("to_bands", to_bands.T.contiguous(), persistent=False)
        self.register_buffer("to_bins", to_bands / to_bands.sum(0), persistent=False)
        sizes = [bands, (bands + 1) // 2, (bands + 3) // 4]
        self.encoder = nn.ModuleList(
            (nn.Conv2d(3, narrow, (2, 5), (1, 2), (0, 2)), nn.Conv2d(narrow, channels, (2, 3), (1, 2), (0, 1)))
        )
        self.encoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (narrow, channels))
        self.blocks = nn.ModuleList(Block(sizes[-1], channels, across, along, causal) for _ in range(blocks))
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) for c in (narrow, channels))
        last = narrow // 2
        self.decoder = nn.ModuleList((Upsampled(narrow, last, sizes[0]), Upsampled(channels, narrow, sizes[1])))
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (last, narrow))
        self.detail = nn.Conv2d(last + 3, 16, (1, 3), padding=(0, 1))
        self.filter = nn.Conv2d(16, 2 * taps, (1, 3), padding=(0, 1))
        self.activation = nn.LeakyReLU(0.1)
        nn.init.zeros_(self.filter.bias)
        # a network that has learnt nothing passes its input
        nn.init.constant_(self.filter.bias[2 * self.current_tap], inverse_limit(1.0, max_gain))

    @property
    def current_tap(self) -> int:
        """Index of the filter's tap that weighs the current frame; later ones weigh frames ahead."""
        return self.taps - 1 if self.causal else self.taps // 2

    def forward(self, spectrum: Tensor, memory: Memory | None = None, *, frames: Tensor | None = None) -> Tensor:
        expect(spectrum, channels=2, n_freq=self.n_freq)
        memory = memory or Memory()
        magnitude = (spectrum.square().sum(1, keepdim=True) + POWER_FLOOR).sqrt()
        features = torch.cat((spectrum * magnitude.pow(self.power - 1), magnitude.pow(self.power)), 1)
        high = features[..., LINEAR_BINS:] @ self.to_bands
        x, encoded = torch.cat((features[..., :LINEAR_BINS], high.to(features.dtype)), -1), []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = self.activation(norm(conv(memory.past(x, 1))))
            encoded.append(x)
        # not in bf16, in which LayerNorm takes three times as long on a CPU
        x = x.permute(0, 2, 3, 1).float().contiguous()  # (B, T, F, C)
        order = reversed_order(frames, x.shape[1])
        for block in self.blocks:
            x = block(x, memory, order)
        x = x.permute(0, 3, 1, 2)  # (B, C, T, F)
        for level in (1, 0):
            x = x + self.skips[level](encoded[level])
            x = self.activation(self.decoder_norms[level](self.decoder[level](x)))
        x = x.contiguous()  # channels first: joined along bins six times as fast
        x = torch.cat((x[..., :LINEAR_BINS], (x[..., LINEAR_BINS:] @ self.to_bins).to(x.dtype)), -1)  # bands to bins
        x = self.activation(self.detail(torch.cat((x, features.to(x.dtype)), 1)))
        gains = self.max_gain * torch.tanh(self.filter(x).float() / self.max_gain)
        return self._filtered(spectrum, gains, memory)

    def _filtered(self, spectrum: Tensor, gains: Tensor, memory: Memory) -> Tensor:
        """Return each bin as the sum of its neighbouring frames, each multiplied by a complex gain.

        Shapes: spectrum (B, 2, T, F), gains (B, 2 * taps, T, F) -> (B, 2, T, F).
        """
        n_frames, ahead = spectrum.shape[2], self.taps - 1 - self.current_tap
        around = functional.pad(memory.past(spectrum, self.current_tap), (0, 0, 0, ahead))
        real, imag, parts = 0, 0, gains.unbind(1)
        for tap in range(self.taps):
            (x, y), (a, b) = around[:, :, tap : tap + n_frames].unbind(1), parts[2 * tap : 2 * tap + 2]
            real, imag = real + a * x - b * y, imag + a * y + b * x
        return torch.stack((real, imag), 1)


class Block(nn.Module):
    """Residual block: mixes neighbouring bands of a frame, then all its bands, then the frames of each band.

    Shapes: x (B, T, F, C), order (T, B) of `reversed_order` or None -> (B, T, F, C).
    """

    def __init__(self, n_bands: int, channels: int, across: int, along: int, causal: bool) -> None:
        super().__init__()
        self.near_norm, self.far_norm, self.along_norm = (nn.LayerNorm(channels) for _ in range(3))
        self.near = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.squeeze, self.spread = nn.Linear(channels, across), nn.Linear(across, channels)
        self.far = nn.Linear(n_bands * across, n_bands * across)
        self.forth = nn.LSTM(channels, along)
        self.back = None if causal else nn.LSTM(channels, along)
        self.along_out = nn.Linear(along if causal else 2 * along, channels)

    def forward(self, x: Tensor, memory: Memory, order: Tensor | None) -> Tensor:
        near = self.near(self.near_norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + functional.silu(near)
        few = functional.silu(self.squeeze(self.far_norm(x)))
        x = x + self.spread(functional.silu(self.far(few.flatten(2))).view_as(few))
        bins = self.along_norm(x).transpose(0, 1)  # (T, B, F, C)
        along = run_lstm(self.forth, bins.flatten(1, 2), memory)
        if self.back is not None:
            back, _ = self.back(reverse_frames(bins, order).flatten(1, 2))
            back = reverse_frames(back.unflatten(1, bins.shape[1:3]), order).flatten(1, 2)
            along = torch.cat((along, back), -1)
        return x + self.along_out(along).unflatten(1, bins.shape[1:3]).transpose(0, 1)


class Upsampled(nn.Module):
    """Sub-pixel convolution over bands: its two outputs for each band become neighbouring bands, twice as many.

    Source: Shi et al. 2016 (arXiv:1609.05158), in one dimension; faster on a CPU than a transposed convolution.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, wide), wide at most 2 F.
    """

    def __init__(self, in_channels: int, out_channels: int, wide: int) -> None:
        super().__init__()
        self.wide = wide
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)  # (B, T, F, 2 C)
        return x.unflatten(3, (2, -1)).flatten(2, 3)[:, :, : self.wide].permute(0, 3, 1, 2)


def run_lstm(layer: nn.LSTM, x: Tensor, memory: Memory) -> Tensor:
    """Run an LSTM over frames from the state in which the last call left it.

    Shapes: x (T, N, C) -> (T, N, H).
    """
    shape = (1, x.shape[1], layer.hidden_size)
    y, (hidden, cell) = layer(x, (memory.recall(x, *shape), memory.recall(x, *shape)))
    memory.keep(hidden)
    memory.keep(cell)
    return y


def reversed_order(frames: Tensor | None, n_frames: int) -> Tensor | None:
    """Return indices that reverse each signal's valid frames and leave its padding in place; None if all are valid.

    Shapes: frames (B,) -> (n_frames, B).

    >>> reversed_order(torch.tensor([3, 2]), 3).T.tolist()
    [[2, 1, 0], [1, 0, 2]]
    """
    if frames is None or bool((frames == n_frames).all()):
        return None
    index = torch.arange(n_frames, device=frames.device)[:, None]
    return torch.where(index < frames, frames - 1 - index, index)


def reverse_frames(x: Tensor, order: Tensor | None) -> Tensor:
    """Reverse frames in time; applied twice, it changes nothing.

    Shapes: x (T, B, F, C), order (T, B) of `reversed_order`, or None to reverse all -> (T, B, F, C).
    """
    return x.flip(0) if order is None else x[order, torch.arange(x.shape[1], device=x.device)]


def erb_bands(n_freq: int, bands: int, *, sample_rate: int = 16000) -> Tensor:
    """Return the weights of the bins from `LINEAR_BINS` on in triangular bands, evenly spaced on the ERB scale.

    The weights of a band sum to 1.

    Source: Glasberg & Moore 1990; triangles as in Rong et al. 2024.
    Shapes: -> (bands - LINEAR_BINS, n_freq - LINEAR_BINS).

    >>> bool(torch.allclose(erb_bands(257, 129).sum(1), torch.ones(65)))
    True
    """
    erb = 21.4 * np.log10(1 + 0.00437 * np.linspace(0, sample_rate / 2, n_freq)[LINEAR_BINS:])
    centres = np.linspace(erb[0], erb[-1], bands - LINEAR_BINS)
    width = np.maximum(centres[1] - centres[0], np.gradient(erb))
    weights = np.maximum(0, 1 - np.abs(erb - centres[:, None]) / width)
    return torch.tensor(weights / weights.sum(1, keepdims=True), dtype=torch.float32)


def inverse_limit(gain: float, max_gain: float) -> float:
    """Return the output of the filter's last layer that the soft limit, max_gain * tanh(x / max_gain), maps to a gain.

    >>> round(2 * float(torch.tanh(torch.tensor(inverse_limit(1.0, 2.0) / 2))), 4)
    1.0
    """
    return max_gain * math.atanh(gain / max_gain)
