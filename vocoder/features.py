"""Log-mel frames, the input from which the vocoder speaks."""

import math
from dataclasses import dataclass
from functools import cache

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

from clean_corpus.pipeline.core.errors import ConfigError

FLOOR = 1e-10  # least energy before the logarithm: digital silence
SILENCE = math.log(FLOOR)
"""Every band of a silent frame. Such frames lie before and after an utterance, in training and in generation."""


@dataclass(frozen=True)
class LogMel:
    """Settings of log-mel frames, and the transform that makes them from samples.

    Frame t is centred on the hop_length samples from t * hop_length on; energies have the natural logarithm.

    Source: paper [004], section 3.1 (45 bands, 25 ms every 5 ms); SYSTEMS.md, section 6.4 (FFT 512, 0 to 8 kHz).
    Departs: zeros, not reflections, surround the signal, so that the padding of a batch changes no frame.
    Shapes: call (B, N) samples -> (B, n_mels, T), T = ceil(N / hop_length); sizes in samples.
    Raises: ConfigError if the sizes do not fit together.

    >>> LogMel()(torch.zeros(1, 400)).shape
    torch.Size([1, 45, 5])
    """

    sample_rate: int = 16000
    n_mels: int = 45
    win_length: int = 400
    hop_length: int = 80
    n_fft: int = 512
    f_max_hz: float = 8000.0

    def __post_init__(self) -> None:
        if not self.hop_length <= self.win_length <= self.n_fft:
            sizes = f"hop_length {self.hop_length}, win_length {self.win_length}, n_fft {self.n_fft}"
            raise ConfigError(f"features: {sizes}: none may be smaller than the one before")
        if self.f_max_hz > self.sample_rate / 2:
            raise ConfigError(
                f"features: f_max_hz {self.f_max_hz:g} is above half of sample_rate {self.sample_rate}; lower f_max_hz"
            )

    def __call__(self, x: Tensor) -> Tensor:
        n_frames = -(-x.shape[-1] // self.hop_length)
        before = (self.n_fft - self.hop_length) // 2
        after = (n_frames - 1) * self.hop_length + self.n_fft - before - x.shape[-1]
        frames = functional.pad(x, (before, after)).unfold(-1, self.n_fft, self.hop_length)
        energies = torch.fft.rfft(frames * _window(self.win_length, self.n_fft)).abs().square()  # (B, T, F)
        bands = energies @ mel_filters(self)
        return bands.clamp_min(FLOOR).log().transpose(1, 2)

    def n_samples(self, n_frames: int) -> int:
        """Return the number of samples that so many frames stand for."""
        return n_frames * self.hop_length


@cache
def _window(win_length: int, n_fft: int) -> Tensor:
    """Return a Hann window with zeros on both sides, (n_fft,)."""
    side = (n_fft - win_length) // 2
    return functional.pad(torch.hann_window(win_length), (side, n_fft - win_length - side))


@cache
def mel_filters(mel: LogMel) -> Tensor:
    """Return the triangular mel filters, (F, n_mels)."""
    return torchaudio.functional.melscale_fbanks(
        mel.n_fft // 2 + 1, 0.0, mel.f_max_hz, mel.n_mels, mel.sample_rate, norm=None, mel_scale="htk"
    )
