"""Spectral domains: how a waveform becomes what a network sees, and its output a waveform again."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-8
MIN_LEVEL = 1e-5
"""Least level by which a signal is divided, so that silence stays silence."""

IntOrTensor = TypeVar("IntOrTensor", int, Tensor)


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

    @property
    def n_freq(self) -> int:
        """Number of bins of a frame."""
        return self.n_fft // 2 + 1

    def window_of(self, like: Tensor) -> Tensor:
        """Return the window, (n_fft,), on the device of a tensor."""
        make = {"hamming": torch.hamming_window, "hann": torch.hann_window, "sqrt_hann": torch.hann_window}[self.window]
        window = make(self.n_fft, device=like.device, dtype=like.dtype)
        return window.sqrt() if self.window == "sqrt_hann" else window

    def n_frames(self, n_samples: IntOrTensor) -> IntOrTensor:
        """Return how many frames, one centred on each multiple of hop_length, touch one of `n_samples` samples.

        None is left out, since the padding of a batch would bring it back.
        """
        return -(-(n_samples + self.n_fft // 2) // self.hop_length)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the complex spectrum of signals.

        Shapes: x (B, N) -> (B, T, F) complex, T = n_frames(N), F = n_fft // 2 + 1.
        """
        half, last = self.n_fft // 2, (self.n_frames(x.shape[-1]) - 1) * self.hop_length
        padded = functional.pad(x, (half, max(0, last + self.n_fft - half - x.shape[-1])))
        return self.analyse(padded.unfold(-1, self.n_fft, self.hop_length))

    def analyse(self, frames: Tensor) -> Tensor:
        """Return the spectra of frames of samples.

        Shapes: (*, n_fft) -> (*, F) complex.
        """
        return torch.fft.rfft(frames * self.window_of(frames))

    def synthesise(self, spec: Tensor) -> Tensor:
        """Return windowed frames of samples, which are to be overlapped and added.

        Shapes: (*, F) complex -> (*, n_fft).
        """
        return torch.fft.irfft(spec, n=self.n_fft) * self.window_of(spec.real)

    def inverse(self, spec: Tensor, n_samples: int) -> Tensor:
        """Return the waveform by weighted overlap-add, divided by the summed squared window.

        Shapes: spec (B, T, F) complex -> (B, n_samples).
        Raises: ValueError if T is not n_frames(n_samples).
        """
        if spec.shape[1] != self.n_frames(n_samples):
            raise ValueError(
                f"spectrum has {spec.shape[1]} frames, {n_samples} samples need {self.n_frames(n_samples)}"
            )
        frames, window = self.synthesise(spec), self.window_of(spec.real)
        total = (spec.shape[1] - 1) * self.hop_length + self.n_fft

        def overlap_add(parts: Tensor) -> Tensor:
            return functional.fold(
                parts.transpose(1, 2), (1, total), (1, self.n_fft), stride=(1, self.hop_length)
            ).reshape(parts.shape[0], total)

        norm = overlap_add(window.square().expand(1, spec.shape[1], -1))
        wave = overlap_add(frames) / norm.clamp_min(EPS)
        return wave[:, self.n_fft // 2 : self.n_fft // 2 + n_samples]


@dataclass(frozen=True)
class ForwardPass:
    """One training batch and what the network makes of it; targets take from it what they compare.

    Shapes: noisy, clean (B, N); noisy_spec (B, T, F) complex, empty for a waveform domain; output as the network's
    domain says.
    """

    domain: "Domain"
    network: nn.Module
    noisy: Tensor
    clean: Tensor
    noisy_spec: Tensor

    @cached_property
    def output(self) -> Any:
        """Output of the network for the batch; computed once."""
        return self.domain.output(self)

    @cached_property
    def clean_spec(self) -> Tensor:
        """Spectrum of the clean signals."""
        return self.domain.stft(self.clean)

    @cached_property
    def estimate(self) -> Tensor:
        """Waveform (B, N) that the output stands for."""
        return self.domain.waveform(self.output, self.noisy_spec, self.noisy.shape[-1])


class Domain(Protocol):
    """A rule that makes a network's input of the noisy waveform, and an estimate of the network's output."""

    def forward(self, network: nn.Module, noisy: Tensor, clean: Tensor) -> ForwardPass:
        """Return one training pass, at the level that the network runs at, of noisy and clean (B, N)."""

    def output(self, run: ForwardPass) -> Any:
        """Return the network's output for the whole batch of a training pass."""

    def enhance(self, network: nn.Module, noisy: Tensor, lengths: Tensor) -> Tensor:
        """Return the estimate of waveforms.

        Shapes: noisy (B, N), zero beyond lengths (B,) -> (B, N), undefined beyond lengths.
        """

    def waveform(self, output: Any, noisy_spec: Tensor, n_samples: int) -> Tensor:
        """Return the estimate (B, n_samples) that a network's output stands for."""


@dataclass(frozen=True)
class Spectral(ABC):
    """Base of the spectral domains: level, look-ahead and resynthesis; a subclass adds `features` and `estimate`.

    A network whose output comes `network.lookahead` frames late gets that many frames of silence at the end.

    Source: SYSTEMS.md section 0; level 'rms' for papers [000] and [001], 'as_is' for [002] to [004].
    """

    stft: Stft
    level: Literal["rms", "as_is"] = "rms"

    @abstractmethod
    def features(self, noisy_spec: Tensor) -> Tensor:
        """Return what the network sees of a spectrum.

        Shapes: (B, T, F) complex -> (B, C, T, F').
        """

    @abstractmethod
    def estimate(self, output: Any, noisy_spec: Tensor) -> Tensor:
        """Return the spectrum that the network's output stands for.

        Shapes: output as the network gives it, noisy_spec (B, T, F) complex -> (B, T, F) complex.
        """

    def run(self, network: nn.Module, spec: Tensor, frames: Tensor) -> Any:
        """Return the network's output for a spectrum.

        Shapes: spec (B, T, F) complex, of which frames (B,) are valid -> as the network gives it, T frames.
        """
        late = getattr(network, "lookahead", 0)
        features = self.features(functional.pad(spec, (0, 0, 0, late)))
        output = network(features, frames=frames) if getattr(network, "attends", False) else network(features)
        return _map(output, lambda x: x.float().narrow(-2, late, spec.shape[1]))

    def waveform(self, output: Any, noisy_spec: Tensor, n_samples: int) -> Tensor:
        return self.stft.inverse(self.estimate(output, noisy_spec), n_samples)

    def forward(self, network: nn.Module, noisy: Tensor, clean: Tensor) -> ForwardPass:
        lengths = torch.full((noisy.shape[0],), noisy.shape[1], device=noisy.device)
        level = self.level_of(noisy, lengths)
        noisy, clean = noisy / level, clean / level
        return ForwardPass(self, network, noisy, clean, self.stft(noisy))

    def output(self, run: ForwardPass) -> Any:
        batch, frames = run.noisy_spec.shape[:2]
        return self.run(run.network, run.noisy_spec, torch.full((batch,), frames, device=run.noisy_spec.device))

    def enhance(self, network: nn.Module, noisy: Tensor, lengths: Tensor) -> Tensor:
        level = self.level_of(noisy, lengths)
        spec = self.stft(noisy / level)
        frames = self.stft.n_frames(lengths)
        estimate = self.estimate(self.run(network, spec, frames), spec)
        inside = torch.arange(spec.shape[1], device=lengths.device) < frames[:, None]
        return self.stft.inverse(estimate * inside[:, :, None], noisy.shape[-1]) * level

    def level_of(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the level by which each signal is divided before the network and multiplied after it.

        Shapes: x (B, N) zero beyond lengths (B,) -> (B, 1).
        """
        return rms_level(x, lengths) if self.level == "rms" else x.new_ones(x.shape[0], 1)


def _map(output: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to a tensor, or to each tensor of a named tuple."""
    return function(output) if isinstance(output, Tensor) else type(output)(*map(function, output))


@dataclass(frozen=True)
class MagnitudeMask(Spectral):
    """Domain of networks that turn the noisy magnitude into a real mask; the estimate keeps the noisy phase.

    Source: paper [000], section III-C (magnitude of the STFT); SYSTEMS.md section 2.1 (real mask, noisy phase).
    Shapes: features (B, T, F, complex) -> (B, 1, T, F); output (B, 1, T, F), >= 0.
    """

    def features(self, noisy_spec: Tensor) -> Tensor:
        return noisy_spec.abs().unsqueeze(1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return output.squeeze(1) * noisy_spec


@dataclass(frozen=True)
class MagnitudeMapping(MagnitudeMask):
    """Domain of networks that turn the noisy magnitude into the clean one; the estimate keeps the noisy phase.

    Of the magnitudes of several stages, the estimate is the last or the mean of all.

    Source: paper [001], section 3.1 (TMS) and, for the mean, section 4.2; SYSTEMS.md sections 3.1 and 3.2.
    Shapes: output (B, stages, T, F), >= 0.
    """

    stages: Literal["last", "mean"] = "last"

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        magnitude = output[:, -1] if self.stages == "last" else output.mean(1)
        return torch.polar(magnitude, noisy_spec.angle())


@dataclass(frozen=True)
class CompressedComplex(Spectral):
    """Domain of networks that turn the power-compressed complex spectrum into a complex ratio mask.

    Source: complex mask of Williamson et al. 2016; power-law input as in Li et al. 2021 (arXiv:2102.01993).
    Shapes: features (B, T, F, complex) -> (B, 2, T, F); output (B, 2, T, F) = real and imaginary part of the mask.
    """

    power: float = 0.5

    def features(self, noisy_spec: Tensor) -> Tensor:
        scaled = noisy_spec * (noisy_spec.abs() + EPS).pow(self.power - 1)
        return torch.stack((scaled.real, scaled.imag), 1)

    def spectrum(self, features: Tensor) -> Tensor:
        """Return the spectrum whose features these are.

        Shapes: (B, 2, T, F) -> (B, T, F) complex.

        >>> domain, spec = CompressedComplex(Stft(4, 2)), torch.tensor([[[3 + 4j]]])
        >>> domain.spectrum(domain.features(spec)).allclose(spec)
        True
        """
        scaled = torch.complex(*features.float().unbind(1))
        return scaled * scaled.abs().pow(1 / self.power - 1)

    def estimate(self, output: Tensor, noisy_spec: Tensor) -> Tensor:
        return torch.complex(output[:, 0], output[:, 1]) * noisy_spec


def rms_level(x: Tensor, lengths: Tensor) -> Tensor:
    """Return the RMS of each signal over its own length, at least `MIN_LEVEL`.

    Shapes: x (B, N) zero beyond lengths (B,) in samples -> (B, 1).
    """
    return (x.square().sum(-1) / lengths.clamp_min(1)).sqrt().clamp_min(MIN_LEVEL).unsqueeze(-1)
