"""Domains of paper [003]: a transform with short windows, complex masks and mapping, log power."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from clean_corpus.enhancers.domains.spectral import EPS, MagnitudeMask, Spectral, Stft


@dataclass(frozen=True, kw_only=True)
class ShortWindowStft(Stft):
    """Short-time Fourier transform with a window shorter than the FFT; each frame ends in zeros.

    Source: paper [003], section 3.2 (25 ms, 6.25 ms, FFT 512); SYSTEMS.md section 5.
    Departs: frames begin n_fft // 2 samples before multiples of hop_length, as in `Stft`; those of the released code
    300 samples before, which gives the first 44 samples one frame more.
    Shapes: sizes in samples.

    >>> stft = ShortWindowStft(512, 100, "hann", win_length=400)
    >>> x = torch.randn(2, 1000)
    >>> bool((stft.inverse(stft(x), 1000) - x).abs().max() < 1e-5)
    True
    """

    win_length: int

    def window_of(self, like: Tensor) -> Tensor:
        window = Stft(self.win_length, self.hop_length, self.window).window_of(like)
        return functional.pad(window, (0, self.n_fft - self.win_length))


@dataclass(frozen=True)
class ComplexMapping(Spectral):
    """Domain of networks that turn the noisy complex spectrum into the clean one.

    Source: paper [003], section 3.2, CRN; SYSTEMS.md section 5.3.
    Shapes: features (B, T, F, complex) -> (B, 2, T, F); output (B, 2, T, F).
    """

    def features(self, noisy_spec: Tensor) -> Tensor:
        return torch.stack((noisy_spec.real, noisy_spec.imag), 1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return torch.complex(*output.unbind(1))


@dataclass(frozen=True)
class ComplexMask(Spectral):
    """Domain of networks that turn the noisy complex spectrum into a complex mask; both leave out the DC bin.

    R multiplies real by real and imaginary by imaginary part, C multiplies complex numbers, E does so after tanh has
    brought the mask's modulus to 0..1.

    Source: paper [003], section 2.3, eqs. 7 to 9; SYSTEMS.md section 5.6 (eq. 9 lacks j).
    Shapes: features (B, T, F, complex) -> (B, 2, T, F - 1); output (B, 2, T, F - 1) = real and imaginary part.
    """

    mask: Literal["R", "C", "E"] = "E"

    def features(self, noisy_spec: Tensor) -> Tensor:
        return torch.stack((noisy_spec.real, noisy_spec.imag), 1)[..., 1:]

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        real, imag = noisy_spec.real[..., 1:], noisy_spec.imag[..., 1:]
        if self.mask == "E":
            modulus = output.square().sum(1, keepdim=True).clamp_min(EPS**2).sqrt()
            output = output * (modulus.tanh() / modulus)
        mask_real, mask_imag = output.unbind(1)
        if self.mask == "R":
            parts = real * mask_real, imag * mask_imag
        else:
            parts = real * mask_real - imag * mask_imag, real * mask_imag + imag * mask_real
        return torch.complex(*(functional.pad(part, (1, 0)) for part in parts))


@dataclass(frozen=True)
class LogPowerMask(MagnitudeMask):
    """Domain of networks that turn the noisy log power into a gain; the estimate keeps the noisy phase.

    Source: SYSTEMS.md section 5.3, NSNet.
    Shapes: features (B, T, F, complex) -> (B, 1, T, F), natural logarithm; output (B, 1, T, F), >= 0.
    """

    def features(self, noisy_spec: Tensor) -> Tensor:
        return (noisy_spec.real.square() + noisy_spec.imag.square() + EPS).log().unsqueeze(1)
