"""The band above a 16 kHz enhancer's own, under the gains of a trained network: what `any_rate` asks for it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from clean_corpus.enhancers.checkpoints import require_upper_band, weights_sha256
from clean_corpus.enhancers.domains.high_band import LOW_RATE, RATE, HighBand, Split
from clean_corpus.enhancers.domains.spectral import MIN_LEVEL
from clean_corpus.enhancers.serving.enhancer import load_network
from clean_corpus.enhancers.serving.high_band import extrapolated
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.device import fetched, full_precision, padded


class UpperBand:
    """A trained network of the domain `HighBand`: call it with both sides of lower bands and with the upper ones.

    A signal whose rate has no whole number of samples in a frame, or lies above 48 kHz, is treated at 48 kHz. What the
    way there and back leaves out of it, above 24 kHz or right below half its rate, gets the extrapolated gain, so that
    gains of 1 return the signal.

    Shapes: lists of as many low_in (M,), low_out (M,) at 16 kHz, high (N,) at any rate above, and RMS of what low_in is
    a stretch of -> list of (N,).
    Raises: ValueError if the lower band has another rate.
    """

    def __init__(self, network: nn.Module, domain: HighBand, *, sha256: str, device: str = "cpu") -> None:
        self.network, self.domain = network.eval().to(device), domain
        self.sha256, self.device = sha256, device

    @classmethod
    def load(cls, name_or_path: str, *, device: str = "cpu") -> "UpperBand":
        """Load shipped weights by name, or trained ones by the path of their .safetensors file.

        Raises: ConfigError if there are no such weights, or if they are not for the band above another enhancer.
        """
        require_upper_band(name_or_path)
        row, network, _ = load_network(name_or_path)
        return cls(network, row.domain, sha256=weights_sha256(name_or_path), device=device)

    def __call__(
        self,
        low_in: Sequence[Audio],
        low_out: Sequence[Audio],
        high: Sequence[Audio],
        low_rate: int,
        rate: int,
        rms: Sequence[float],
    ) -> list[Audio]:
        if low_rate != LOW_RATE:
            raise ValueError(f"the lower band has {low_rate} Hz, the network was trained with {LOW_RATE}")
        if self.domain.has_frames_at(rate):
            return self._treated(low_in, low_out, high, rate, rms)
        full = [resample(x, rate, RATE)[: len(low) * RATE // LOW_RATE] for x, low in zip(high, low_in, strict=True)]
        treated = self._treated(low_in, low_out, full, RATE, rms)
        result = []
        for i, x in enumerate(high):
            back, before = (_fitted(resample(y[i], RATE, rate), len(x)) for y in (treated, full))
            result.append(back + extrapolated(low_in[i], low_out[i], x - before, low_rate, rate))
        return result

    @full_precision()
    def _treated(
        self,
        low_in: Sequence[Audio],
        low_out: Sequence[Audio],
        high: Sequence[Audio],
        rate: int,
        rms: Sequence[float],
    ) -> list[Audio]:
        """Return upper bands under the network's gains, all in one batch."""
        split = Split(*(padded(signals, self.device) for signals in (high, low_in, low_out)))
        lengths = torch.tensor([len(x) for x in high], device=self.device)
        level = torch.tensor(rms, device=self.device).clamp_min(MIN_LEVEL).unsqueeze(1)
        output = self.domain.at(rate).enhance(self.network, split, lengths, level)
        return [row[: len(x)] for row, x in zip(fetched(output)(), high, strict=True)]


def _fitted(x: Audio, n_samples: int) -> Audio:
    """Return a signal cut or continued with silence to so many samples."""
    return np.pad(x[:n_samples], (0, max(0, n_samples - len(x))))
