"""Waveform <-> what a network sees, and back."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-8


@dataclass(frozen=True)
class Stft:
    """Short-time Fourier transform whose result does not depend on what a batch was padded with.

    Source: own; periodic window, frames centred on multiples of hop_length, zeros outside the signal. torch.stft's
    reflection would let the padding of a batch leak into the last frames, so it is not used.
    Shapes: sizes in samples.

    >>> stft = Stft(320, 160)
    >>> x = torch.randn(2, 1000)
    >>> bool((stft.inverse(stft(x), 1000) - x).abs().max() < 1e-5)
    True
    """

    n_fft: int
    hop_length: int
    window: str = "hamming"

    def _window(self, like: Tensor) -> Tensor:
        make = {"hamming": torch.hamming_window, "hann": torch.hann_window}[self.window]
        return make(self.n_fft, device=like.device, dtype=like.dtype)

    def n_frames(self, n_samples: int) -> int:
        """Frames that cover `n_samples` samples: one centred on each multiple of hop_length, both ends included."""
        return -(-n_samples // self.hop_length) + 1

    def __call__(self, x: Tensor) -> Tensor:
        """Complex spectrum.

        Shapes: x (B, N) -> (B, T, F) complex, T = n_frames(N), F = n_fft // 2 + 1.
        """
        tail = (self.n_frames(x.shape[-1]) - 1) * self.hop_length - x.shape[-1]
        padded = functional.pad(x, (self.n_fft // 2, self.n_fft // 2 + tail))
        frames = padded.unfold(-1, self.n_fft, self.hop_length)  # (B, T, n_fft)
        return torch.fft.rfft(frames * self._window(x))

    def inverse(self, spec: Tensor, n_samples: int) -> Tensor:
        """Waveform by weighted overlap-add, divided by the summed squared window.

        Shapes: spec (B, T, F) complex -> (B, n_samples).
        Raises: ValueError if T is not n_frames(n_samples).
        """
        if spec.shape[1] != self.n_frames(n_samples):
            raise ValueError(
                f"spectrum has {spec.shape[1]} frames, {n_samples} samples need {self.n_frames(n_samples)}"
            )
        window = self._window(spec.real)
        frames = torch.fft.irfft(spec, n=self.n_fft) * window
        total = (spec.shape[1] - 1) * self.hop_length + self.n_fft

        def overlap_add(parts: Tensor) -> Tensor:
            return functional.fold(
                parts.transpose(1, 2), (1, total), (1, self.n_fft), stride=(1, self.hop_length)
            ).reshape(parts.shape[0], total)

        norm = overlap_add(window.square().expand(1, spec.shape[1], -1))
        wave = overlap_add(frames) / norm.clamp_min(EPS)
        return wave[:, self.n_fft // 2 : self.n_fft // 2 + n_samples]


class Domain(Protocol):
    """How a network's input is made of the noisy spectrum, and the estimate of its output."""

    stft: Stft

    def features(self, noisy_spec: Tensor) -> Tensor: ...
    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Magnitude:
    """Magnitude in, real mask out; the estimate keeps the noisy phase.

    Source: SYSTEMS.md section 2.1 (Hamming window, own choice there).
    Shapes: features (B, T, F, complex) -> (B, 1, T, F); output (B, 1, T, F), >= 0.
    """

    stft: Stft

    def features(self, noisy_spec: Tensor) -> Tensor:
        return noisy_spec.abs().unsqueeze(1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return output.squeeze(1) * noisy_spec


@dataclass(frozen=True)
class CompressedComplex:
    """Power-compressed real and imaginary parts in, complex ratio mask out.

    Source: complex mask of Williamson et al. 2016; power-law input as in Li et al. 2021 (arXiv:2102.01993).
    Shapes: features (B, T, F, complex) -> (B, 2, T, F); output (B, 2, T, F) = real and imaginary part of the mask.
    """

    stft: Stft
    power: float = 0.5

    def features(self, noisy_spec: Tensor) -> Tensor:
        scaled = noisy_spec * (noisy_spec.abs() + EPS).pow(self.power - 1)
        return torch.stack((scaled.real, scaled.imag), 1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return torch.complex(output[:, 0], output[:, 1]) * noisy_spec


def rms_level(x: Tensor, lengths: Tensor) -> Tensor:
    """RMS of each signal over its own length, at least 1e-5 so that silence stays silence.

    Shapes: x (B, N) zero beyond lengths (B,) in samples -> (B, 1).
    """
    return (x.square().sum(-1) / lengths.clamp_min(1)).sqrt().clamp_min(1e-5).unsqueeze(-1)
