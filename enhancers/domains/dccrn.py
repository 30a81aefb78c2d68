"""What the systems of paper [003] see, estimate and are compared by."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from clean_corpus.enhancers.domains.spectral import EPS, ForwardPass, MagnitudeMask, Spectral, Stft


@dataclass(frozen=True, kw_only=True)
class ShortWindowStft(Stft):
    """Short-time Fourier transform with a window shorter than the FFT: the end of each frame counts as zeros.

    Source: SYSTEMS.md section 5.
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
    """Real and imaginary part in, those of clean speech out.

    Source: SYSTEMS.md section 5.3, complex CRN.
    Shapes: features (B, T, F, complex) -> (B, 2, T, F); output (B, 2, T, F).
    """

    def features(self, noisy_spec: Tensor) -> Tensor:
        return torch.stack((noisy_spec.real, noisy_spec.imag), 1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return torch.complex(*output.unbind(1))


@dataclass(frozen=True)
class ComplexMask(Spectral):
    """Real and imaginary part without DC in, complex mask out; the estimate has no DC.

    R multiplies real with real and imaginary with imaginary part, C multiplies complex numbers, E does so with the
    mask's modulus brought to 0..1 by tanh.

    Source: paper [003], eqs. 7 to 9; SYSTEMS.md section 5.6 (eq. 9 lacks j).
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
    """Log power in, gain out; the estimate keeps the noisy phase.

    Source: SYSTEMS.md section 5.3, NSNet.
    Shapes: features (B, T, F, complex) -> (B, 1, T, F), natural logarithm; output (B, 1, T, F), >= 0.
    """

    def features(self, noisy_spec: Tensor) -> Tensor:
        return (noisy_spec.real.square() + noisy_spec.imag.square() + EPS).log().unsqueeze(1)


def masked_magnitude(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Magnitude signal approximation: the masked noisy magnitude against the clean one.

    Source: paper [003], section 2.3, MSA.
    """
    return run.output.squeeze(1) * run.noisy_spec.abs(), run.clean_spec.abs()


def speech_and_noise(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """What the gain makes of speech and noise magnitudes, (B, 2, T, F), against speech and silence."""
    speech, noise = run.clean_spec.abs(), (run.noisy_spec - run.clean_spec).abs()
    return run.output * torch.stack((speech, noise), 1), torch.stack((speech, torch.zeros_like(noise)), 1)


def weighted_distortion(estimate: Tensor, reference: Tensor, *, speech_weight: float = 0.35) -> Tensor:
    """Squared error of speech and of noise, weighted.

    Source: Xia et al., ICASSP 2020; SYSTEMS.md section 5.3 (weight not verified).
    Shapes: (B, 2, T, F) twice, speech and noise -> ().

    >>> x = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    >>> round(weighted_distortion(x, torch.zeros_like(x)).item(), 3)  # 0.35 * 1 + 0.65 * 4
    2.95
    """
    speech, noise = (estimate - reference).square().mean((0, 2, 3))
    return speech_weight * speech + (1 - speech_weight) * noise
