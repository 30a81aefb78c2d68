"""Resampling by three and bins of the Fourier transform as fixed linear layers: exact and fast in every runtime."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.high_band import LOW_RATE, RATE

RATIO = RATE // LOW_RATE
REACH = 85
"""Samples at the lower rate on either side of one that a filter sees: 5.3 ms."""

EDGE_HZ, BETA = 7655, 10.06
"""Half amplitude in the transition from 7.35 to 8 kHz, as the resampler's of files, and a stop band of -100 dB."""


def low_pass() -> Tensor:
    """Return the low-pass filter of both ways between the rates, a sinc in a Kaiser window.

    Shapes: -> (2 * RATIO * REACH + 1,) at 48 kHz, symmetric, of sum 1.
    """
    n = np.arange(-RATIO * REACH, RATIO * REACH + 1)
    taps = np.sinc(2 * EDGE_HZ / RATE * n) * np.kaiser(len(n), BETA)
    return torch.tensor(taps / taps.sum())


class Down(nn.Module):
    """Decimation by three; output m is centred on input RATIO * (m + REACH).

    Shapes: (1, RATIO * (M + 2 * REACH)) -> (1, M).
    """

    def __init__(self) -> None:
        super().__init__()
        phases = functional.pad(low_pass(), (0, RATIO - 1)).view(-1, RATIO).T
        self.register_buffer("phases", phases.float().unsqueeze(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # phases as channels: a third of the time that a stride takes
        return functional.conv1d(x.unflatten(1, (-1, RATIO)).transpose(1, 2), self.phases).squeeze(1)


class Up(nn.Module):
    """Interpolation by three; outputs RATIO * m to RATIO * m + 2 lie at and after input m + REACH.

    Shapes: (1, M + 2 * REACH) -> (1, RATIO * M).
    """

    def __init__(self) -> None:
        super().__init__()
        taps = functional.pad(RATIO * low_pass().flip(0), (RATIO - 1, 0))
        phases = torch.stack([taps[RATIO - 1 - p :][: len(taps) - RATIO + 1 : RATIO] for p in range(RATIO)])
        self.register_buffer("phases", phases.float().unsqueeze(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv1d(x.unsqueeze(1), self.phases).transpose(1, 2).flatten(1)


class Dft(nn.Module):
    """Bins from `first_bin` on of real frames, and what these bins are of a frame, as products of small matrices.

    A frame is written into `rows` rows; its columns are transformed first, then its rows.

    Source: Cooley & Tukey 1965. ONNX has an operator for it, which takes ten times as long in onnxruntime for 1,536
    samples and differs by 1e-2.
    Shapes: frames (B, n_fft), spectra (B, F) twice, real and imaginary part, F = n_fft // 2 + 1 - first_bin.
    Raises: ValueError if `rows` do not divide n_fft.
    """

    def __init__(self, n_fft: int, *, rows: int, first_bin: int = 0) -> None:
        super().__init__()
        if n_fft % rows:
            raise ValueError(f"frames of {n_fft} samples do not fill {rows} rows")
        self.shape, first = (rows, n_fft // rows), first_bin // rows
        self.skipped, self.n_freq = first_bin - first * rows, n_fft // 2 + 1 - first_bin
        kept = torch.arange(first, n_fft // 2 // rows + 1)
        self.n_kept, (r, c) = len(kept), (torch.arange(n) for n in self.shape)
        outer = _turns(r[:, None] * r, rows)
        inner = _turns(c[:, None] * kept, self.shape[1])
        twist = _turns(r[:, None] * c, n_fft)
        both = torch.cat((torch.cat((inner.real, inner.imag), 1), torch.cat((-inner.imag, inner.real), 1)))
        weights = torch.full((n_fft // 2 + 1,), 2.0 / n_fft)
        weights[[0, -1]] /= 2
        for name, x in {
            "outer": torch.cat((outer.real, outer.imag)),  # (2 * rows, rows)
            "inner": both,  # (2 * columns, 2 * kept)
            "twist": torch.stack((twist.real, twist.imag)),
            "weights": weights[first_bin:],
        }.items():
            self.register_buffer(name, x.float(), persistent=False)

    def analyse(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bins of frames.

        Shapes: (B, n_fft) -> (B, F) twice.
        """
        real, imag = (self.outer @ frames.unflatten(1, self.shape)).chunk(2, 1)
        cos, sin = self.twist
        bins = torch.cat((real * cos - imag * sin, real * sin + imag * cos), 2) @ self.inner
        real, imag = (x.transpose(1, 2).flatten(1) for x in bins.chunk(2, 2))
        wanted = slice(self.skipped, self.skipped + self.n_freq)
        return real[:, wanted], imag[:, wanted]

    def synthesise(self, real: Tensor, imag: Tensor) -> Tensor:
        """Return the frames that bins are of, all others being zero.

        Shapes: (B, F) twice -> (B, n_fft).
        """
        after = self.n_kept * self.shape[0] - self.skipped - self.n_freq
        real, imag = (
            functional.pad(x * self.weights, (self.skipped, after)).unflatten(1, (self.n_kept, -1)).transpose(1, 2)
            for x in (real, imag)
        )
        real, imag = (torch.cat((real, imag), 2) @ self.inner.T).chunk(2, 2)
        cos, sin = self.twist
        joined = torch.cat((real * cos + imag * sin, imag * cos - real * sin), 1)
        return (self.outer.T @ joined).flatten(1)


def _turns(steps: Tensor, n: int) -> Tensor:
    """Return exp(-2 pi i steps / n)."""
    angle = -2 * math.pi / n * (steps % n).double()
    return torch.polar(torch.ones_like(angle), angle)
