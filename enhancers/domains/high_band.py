"""Domain of the band above 8 kHz: what a network sees of it and of the band below, and the gains it gives."""

from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.spectral import ForwardPass, Stft, rms_level

RATE, LOW_RATE = 48000, 16000
FRAME_MS = 32
FIRST_BIN, BANDS, BINS_PER_BAND = 224, 34, 16
"""Bins of 31.25 Hz above 7 kHz, where the split's transition begins, and the bands of 500 Hz that they make."""
LOW_BANDS = 20
FLOOR = 1e-10
"""Power of a bin, re that of noise of the signal's RMS, that stands for silence: -100 dB."""


class Split(NamedTuple):
    """A batch of signals in two bands, and what an enhancer made of the lower one.

    Shapes: high (B, N) at 48 kHz, low and low_estimate (B, N / 3) at 16 kHz; high plus the upsampled low is the input.
    """

    high: Tensor
    low: Tensor
    low_estimate: Tensor


@dataclass(frozen=True)
class HighBandPass(ForwardPass):
    """A training batch of the upper band: noisy, clean and estimate are its waveforms, at one level a signal.

    Shapes: as ForwardPass; bands (B, 1, T, 74), bins (B, 1, T, 545).
    """

    bands: Tensor
    bins: Tensor


@dataclass(frozen=True)
class HighBand:
    """Domain of networks that give gains for the bins above 7 kHz of a signal at 48 kHz, or at a lower rate.

    Frames are of 32 ms every 16 ms, in both bands at the same times, so that the bins of a signal at a lower rate are
    the first ones of those at 48 kHz; the network sees silence in the others.

    Source: own; gains of bands at the full rate as in Valin 2018 (arXiv:1709.08243).
    Shapes: as Split; gains (B, 1, T, 545).
    """

    stft: Stft = field(default_factory=partial(Stft, 1536, 768, "sqrt_hann"))
    low_stft: Stft = field(default_factory=partial(Stft, 512, 256, "sqrt_hann"))
    level: Literal["rms"] = "rms"
    rate: int = RATE

    @staticmethod
    def has_frames_at(rate: int) -> bool:
        """Return whether frames and hops at a rate are whole numbers of samples, and no bin lies above 24 kHz."""
        return rate <= RATE and rate * FRAME_MS % 2000 == 0

    def at(self, rate: int) -> "HighBand":
        """Return the domain of signals at another rate, for which `has_frames_at` holds."""
        n_fft = rate * FRAME_MS // 1000
        return replace(self, stft=replace(self.stft, n_fft=n_fft, hop_length=n_fft // 2), rate=rate)

    def features(self, high_spec: Tensor, low_spec: Tensor, estimate_spec: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithmic bands and bins that the network sees.

        Shapes: high_spec (B, T, F), F = 769 at 48 kHz, low_spec and estimate_spec (B, T, 257), complex ->
        (B, 1, T, 74), (B, 1, T, 545).
        """
        high = _power(high_spec[..., FIRST_BIN:], self.stft) * (RATE / self.rate)
        high = functional.pad(high, (0, BANDS * BINS_PER_BAND + 1 - high.shape[-1]))
        return power_features(high, *(_power(spec, self.low_stft) for spec in (low_spec, estimate_spec)))

    def blank(self, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the spectra of silence, as `features` takes them."""
        sizes = self.stft.n_freq, self.low_stft.n_freq, self.low_stft.n_freq
        return tuple(torch.zeros(1, frames, n, dtype=torch.complex64) for n in sizes)

    def forward(self, network: nn.Module, noisy: Any, clean: Tensor) -> ForwardPass:
        """Return a training pass of batches of a Split and of the clean upper band (B, N)."""
        split = Split(*noisy)
        lengths = torch.full((clean.shape[0],), clean.shape[1], device=clean.device)
        level = self.level_of(split, lengths)
        high_spec, low_spec, estimate_spec = self._spectra(split, level)
        features = self.features(high_spec, low_spec, estimate_spec)
        return HighBandPass(self, network, split.high / level, clean / level, high_spec, *features)

    def output(self, run: HighBandPass) -> Tensor:
        frames = torch.full((run.bands.shape[0],), run.bands.shape[2], device=run.bands.device)
        return self._gains(run.network, run.bands, run.bins, frames)

    def enhance(self, network: nn.Module, noisy: Any, lengths: Tensor, level: Tensor | None = None) -> Tensor:
        """Return the treated upper band of a batch of a Split, zero beyond lengths (B,) of it -> (B, N).

        Of stretches of longer signals, `level` (B, 1) is that of the whole ones.
        """
        split = Split(*noisy)
        level = self.level_of(split, lengths) if level is None else level
        high_spec, low_spec, estimate_spec = self._spectra(split, level)
        frames = self.stft.n_frames(lengths)
        gains = self._gains(network, *self.features(high_spec, low_spec, estimate_spec), frames)
        inside = torch.arange(high_spec.shape[1], device=lengths.device) < frames[:, None]
        return self.waveform(gains * inside[:, None, :, None], high_spec, split.high.shape[-1]) * level

    def waveform(self, output: Tensor, noisy_spec: Tensor, n_samples: int) -> Tensor:
        """Return the upper band (B, n_samples) that gains (B, 1, T, 545) leave of a spectrum (B, T, F)."""
        gains = functional.pad(output.squeeze(1), (FIRST_BIN, 0), value=1.0)  # next to nothing lies below
        gains = gains[..., : noisy_spec.shape[-1]]
        return self.stft.inverse(gains * noisy_spec, n_samples)

    def level_of(self, split: Split, lengths: Tensor) -> Tensor:
        """Return the RMS of each signal's lower band, (B, 1), by which both bands are divided before the network."""
        return rms_level(split.low, lengths * LOW_RATE / self.rate)

    def _spectra(self, split: Split, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = self.low_stft(torch.cat((split.low, split.low_estimate)) / level.repeat(2, 1))
        return self.stft(split.high / level), *low.chunk(2)

    @staticmethod
    def _gains(network: nn.Module, bands: Tensor, bins: Tensor, frames: Tensor) -> Tensor:
        if getattr(network, "attends", False):
            return network(bands, bins, frames=frames).float()
        return network(bands, bins).float()


def power_features(high: Tensor, low: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithmic bands and bins that the network sees of powers of bins, re that of noise of RMS 1.

    Shapes: high (B, T, 545), low and estimate (B, T, 257) -> (B, 1, T, 74), (B, 1, T, 545).
    """
    to_bands = _low_bands(low.device)
    low, estimate = low @ to_bands, estimate @ to_bands
    gains = (estimate / (low + FLOOR)).clamp(max=1.0).sqrt()
    high_bands = high[..., :-1].unflatten(-1, (BANDS, BINS_PER_BAND)).mean(-1)
    bands = torch.cat((_log(low), 4 * gains - 2, _log(high_bands)), -1)
    return bands.unsqueeze(1), _log(high).unsqueeze(1)


def _power(spec: Tensor, stft: Stft) -> Tensor:
    """Return the power of bins re that of white noise of RMS 1."""
    return torch.view_as_real(spec).square().sum(-1) / stft.window_of(spec.real).square().sum()


def _log(power: Tensor) -> Tensor:
    """Return powers of 0 to -100 dB as numbers from 2 to -2."""
    return torch.log10(power + FLOOR) * 0.4 + 2.0


@lru_cache(maxsize=8)
def _low_bands(device: torch.device) -> Tensor:
    """Return the weights of the bins below 7 kHz in bands evenly spaced on the mel scale, (257, LOW_BANDS)."""
    hz = np.arange(FIRST_BIN + 33) * LOW_RATE / 512
    mel = 2595 * np.log10(1 + hz / 700)
    edges = np.linspace(0, 2595 * np.log10(1 + 7000 / 700), LOW_BANDS + 2)
    rise = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    weights = np.clip(np.minimum(rise, fall), 0, None)
    with torch.inference_mode(False):  # a training may use it after a validation made it
        return torch.tensor(weights / weights.sum(0).clip(1e-6), dtype=torch.float32, device=device)
