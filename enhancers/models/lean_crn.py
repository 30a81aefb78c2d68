"""A convolutional recurrent network that is small and quick: own work for `default`."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancers.layers import Memory, expect

LINEAR_BINS = 64
"""Bins of 31.25 Hz that stay as they are: below 2 kHz harmonics are told apart one by one."""
FAINT = 1e-8  # a power that is nothing in a spectrum of RMS 1


class LeanCRN(nn.Module):
    """Convolutional recurrent network that filters each bin of a noisy spectrum over three frames.

    Compressed spectrum and magnitude go through bands and two strided convolutions to 33 bands. Blocks follow that mix
    the bands of a frame and then go along the frames of each band. Two convolutions lead back to bands, and two more,
    which see the noisy bins as well, to a complex filter. With `causal` no frame knows a later one; without, a second
    recurrence goes back from the end of the signal and the filter reaches one frame ahead.

    Source: own. Bands as in Rong et al. 2024 (arXiv:2402.08401), the deep filter of Mack & Habets 2020
    (arXiv:1904.08369), convolution and full matrix across bands of Quan & Li 2024 (arXiv:2307.16516), LSTMs along
    time shared by all bands of Luo et al. 2020 (arXiv:1910.06379).
    Departs: bands are mixed by a convolution and a matrix, not by a recurrence in both directions, which takes twice as
    long in training (104 ms instead of 49 for 8 times 3 s on one core); LSTMs, since those of oneDNN are two to three
    times as fast as its GRUs in use.
    Size: 309,390 parameters, 302,478 with `causal` and `along` 48 (asserted in tests).
    Shapes: spectrum (B, 2, T, 257), real and imaginary part at RMS 1, of which frames (B,) are valid, -> the same.
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
        self.decoder = nn.ModuleList((Doubled(narrow, last, sizes[0]), Doubled(channels, narrow, sizes[1])))
        self.decoder_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (last, narrow))
        self.detail = nn.Conv2d(last + 3, 16, (1, 3), padding=(0, 1))
        self.filter = nn.Conv2d(16, 2 * taps, (1, 3), padding=(0, 1))
        self.activation = nn.LeakyReLU(0.1)
        nn.init.zeros_(self.filter.bias)
        nn.init.constant_(self.filter.bias[2 * self.now], inverse_limit(1.0, max_gain))  # at first all passes

    @property
    def now(self) -> int:
        """The tap of the filter that stands for the frame itself."""
        return self.taps - 1 if self.causal else self.taps // 2

    def forward(self, spectrum: Tensor, memory: Memory | None = None, *, frames: Tensor | None = None) -> Tensor:
        expect(spectrum, channels=2, n_freq=self.n_freq)
        memory = memory or Memory()
        magnitude = (spectrum.square().sum(1, keepdim=True) + FAINT).sqrt()
        features = torch.cat((spectrum * magnitude.pow(self.power - 1), magnitude.pow(self.power)), 1)
        high = features[..., LINEAR_BINS:] @ self.to_bands
        x, encoded = torch.cat((features[..., :LINEAR_BINS], high.to(features.dtype)), -1), []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = self.activation(norm(conv(memory.past(x, 1))))
            encoded.append(x)
        x = x.permute(0, 2, 3, 1).contiguous()  # (B, T, F, C)
        order = reversal(frames, x.shape[1])
        for block in self.blocks:
            x = block(x, memory, order)
        x = x.permute(0, 3, 1, 2)  # (B, C, T, F)
        for level in (1, 0):
            x = x + self.skips[level](encoded[level])
            x = self.activation(self.decoder_norms[level](self.decoder[level](x)))
        x = x.contiguous()  # channels first: joined along bins six times as fast
        x = torch.cat((x[..., :LINEAR_BINS], (x[..., LINEAR_BINS:] @ self.to_bins).to(x.dtype)), -1)  # bins again
        x = self.activation(self.detail(torch.cat((x, features.to(x.dtype)), 1)))
        gains = self.max_gain * torch.tanh(self.filter(x).float() / self.max_gain)
        return self._filtered(spectrum, gains, memory)

    def _filtered(self, spectrum: Tensor, gains: Tensor, memory: Memory) -> Tensor:
        """The spectrum through complex gains of neighbouring frames.

        Shapes: spectrum (B, 2, T, F), gains (B, 2 * taps, T, F) -> (B, 2, T, F).
        """
        n_frames, ahead = spectrum.shape[2], self.taps - 1 - self.now
        around = functional.pad(memory.past(spectrum, self.now), (0, 0, 0, ahead))
        real, imag, parts = 0, 0, gains.unbind(1)
        for tap in range(self.taps):
            (x, y), (a, b) = around[:, :, tap : tap + n_frames].unbind(1), parts[2 * tap : 2 * tap + 2]
            real, imag = real + a * x - b * y, imag + a * y + b * x
        return torch.stack((real, imag), 1)


class Block(nn.Module):
    """Neighbouring bands of a frame, then all bands of it, then the frames of each band; each adds to what it is given.

    Shapes: x (B, T, F, C), order (T, B) as `reversal` gives it or None -> (B, T, F, C).
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
        along = recurrent(self.forth, bins.flatten(1, 2), memory)
        if self.back is not None:
            back, _ = self.back(turned(bins, order).flatten(1, 2))
            back = turned(back.unflatten(1, bins.shape[1:3]), order).flatten(1, 2)
            along = torch.cat((along, back), -1)
        return x + self.along_out(along).unflatten(1, bins.shape[1:3]).transpose(0, 1)


class Doubled(nn.Module):
    """A convolution over bands whose outputs, two for each band, lie side by side: twice the bands.

    Source: Shi et al. 2016 (arXiv:1609.05158), in one dimension; quicker on a CPU than a transposed convolution.
    Shapes: (B, in_channels, T, F) -> (B, out_channels, T, wide), wide at most 2 F.
    """

    def __init__(self, in_channels: int, out_channels: int, wide: int) -> None:
        super().__init__()
        self.wide = wide
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)  # (B, T, F, 2 C)
        return x.unflatten(3, (2, -1)).flatten(2, 3)[:, :, : self.wide].permute(0, 3, 1, 2)


def recurrent(layer: nn.LSTM, x: Tensor, memory: Memory) -> Tensor:
    """An LSTM that goes on from where the last call ended.

    Shapes: x (T, N, C) -> (T, N, H).
    """
    shape = (1, x.shape[1], layer.hidden_size)
    y, (hidden, cell) = layer(x, (memory.recall(x, *shape), memory.recall(x, *shape)))
    memory.keep(hidden)
    memory.keep(cell)
    return y


def reversal(frames: Tensor | None, n_frames: int) -> Tensor | None:
    """Indices that turn each signal's valid frames round and leave its padding behind; None if every frame is valid.

    Shapes: frames (B,) -> (n_frames, B).

    >>> reversal(torch.tensor([3, 2]), 3).T.tolist()
    [[2, 1, 0], [1, 0, 2]]
    """
    if frames is None or bool((frames == n_frames).all()):
        return None
    at = torch.arange(n_frames, device=frames.device)[:, None]
    return torch.where(at < frames, frames - 1 - at, at)


def turned(x: Tensor, order: Tensor | None) -> Tensor:
    """Frames turned round in time; its own inverse.

    Shapes: x (T, B, F, C), order (T, B) or None for all -> (T, B, F, C).
    """
    return x.flip(0) if order is None else x[order, torch.arange(x.shape[1], device=x.device)]


def erb_bands(n_freq: int, bands: int, *, sample_rate: int = 16000) -> Tensor:
    """Weights of bins above `LINEAR_BINS` in triangular bands that lie evenly on the ERB scale; each band sums to 1.

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
    """What the filter's last layer gives for a gain.

    >>> round(2 * float(torch.tanh(torch.tensor(inverse_limit(1.0, 2.0) / 2))), 4)
    1.0
    """
    return max_gain * math.atanh(gain / max_gain)
