"""F0 and voicing read from log-mel frames by a small network, which ships with the package."""

import json
import math
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.features import LogMel

WEIGHTS = Path(__file__).parent / "weights" / "pitch" / "pitch.safetensors"
FEATURES = LogMel()  # of the frames that the shipped weights read
F0_RANGE_HZ = (60.0, 500.0)
BINS = 72  # of F0, equally spaced in its logarithm, 52 cents apart
CHANNELS, TAPS = 64, 5
DILATIONS = (1, 1, 2, 2, 2)
SLOPE = 0.1  # of the leaky rectifiers
SMOOTHED = 2  # frames on each side over which probabilities are averaged
NEAR = 2  # bins on each side of the likeliest one that F0 is the mean of
REACH = TAPS // 2 * sum(DILATIONS) + SMOOTHED
"""Frames on each side that the F0 of a frame depends on."""


class Pitch(NamedTuple):
    """F0 in Hz, which means nothing where there is no voice, and the probability of a voice; (B, T) each."""

    f0_hz: Tensor
    voiced: Tensor


class PitchNetwork(nn.Module):
    """Residual convolutions over 165 ms of frames, to the odds of each bin of F0; the last bin is no voice at all.

    Source: Kim et al. 2018 (CREPE), section 2.1, for bins as the classes of a pitch.
    Departs: it reads log-mel frames instead of samples, and tells voiced frames from others by a class of its own.
    Size: 101,385 parameters for 45 bands.
    Shapes: log-mel (B, n_mels, T) -> (B, BINS + 1, T).
    """

    def __init__(self, n_mels: int = FEATURES.n_mels) -> None:
        super().__init__()
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_std", torch.ones(n_mels))
        sizes = (n_mels, *[CHANNELS] * len(DILATIONS))
        self.convs = nn.ModuleList(
            nn.Conv1d(sizes[i], sizes[i + 1], TAPS, padding=TAPS // 2 * d, dilation=d) for i, d in enumerate(DILATIONS)
        )
        self.output = nn.Conv1d(CHANNELS, BINS + 1, 1)

    def forward(self, log_mel: Tensor) -> Tensor:
        x = (log_mel - self.mel_mean[:, None]) / self.mel_std[:, None]
        for i, conv in enumerate(self.convs):
            y = functional.leaky_relu(conv(x), SLOPE)
            x = x + y if i else y
        return self.output(x)

    @torch.no_grad()
    def read(self, log_mel: Tensor) -> Pitch:
        """Return F0 and voicing of each frame, in single precision whatever surrounds the call: (B, n_mels, T)."""
        with torch.autocast(log_mel.device.type, enabled=False):
            return decoded(self(log_mel.float()))


@cache
def bin_centres_hz() -> Tensor:
    """Return the F0 that each bin stands for, (BINS,)."""
    low, high = (math.log(f) for f in F0_RANGE_HZ)
    return torch.linspace(low, high, BINS).exp()


def bin_odds(f0_hz: Tensor) -> Tensor:
    """Return the probabilities that a network should give to an F0, 0 for no voice: (B, T) -> (B, BINS + 1, T).

    Neighbouring bins share them as a Gaussian of one bin, as in section 2.2 of Kim et al. 2018.

    >>> odds = bin_odds(torch.tensor([[0.0, 200.0]]))
    >>> odds.argmax(1)[0, 0].item() == BINS, odds.sum(1).allclose(torch.ones(1, 2))
    (True, True)
    >>> round(decoded(odds[:, :, 1:].log().repeat(1, 1, 5)).f0_hz[0, 2].item())
    200
    """
    centres = bin_centres_hz().log()
    distance = (f0_hz.clamp_min(1.0).log()[:, None] - centres[:, None]) / (centres[1] - centres[0])
    bins = (-0.5 * distance.square()).softmax(1) * (f0_hz > 0)[:, None]
    return torch.cat((bins, (f0_hz <= 0)[:, None].float()), 1)


def decoded(odds: Tensor) -> Pitch:
    """Read F0 off the odds of a network: the mean of the bins near the likeliest one.

    Probabilities are averaged over neighbouring frames, whose F0 differs little, so that a frame in doubt takes the
    octave of those around it.
    Shapes: (B, BINS + 1, T) -> (B, T) each.
    """
    p = functional.avg_pool1d(odds.softmax(1), 2 * SMOOTHED + 1, 1, SMOOTHED, count_include_pad=False)
    bins, centres = p[:, :-1], bin_centres_hz().log().to(p.device)[:, None]
    order = torch.arange(BINS, device=p.device)[:, None]
    near = bins * ((order - bins.argmax(1, keepdim=True)).abs() <= NEAR)
    log_f0 = (near * centres).sum(1) / near.sum(1).clamp_min(torch.finfo(p.dtype).tiny)
    return Pitch(log_f0.exp(), 1 - p[:, -1])


def shipped(mel: LogMel) -> dict[str, Tensor]:
    """Return the weights that come with the package.

    Raises: ConfigError if they read other frames than `mel` makes.
    """
    card: dict[str, Any] = json.loads(WEIGHTS.with_suffix(".json").read_text())
    for name, value in asdict(mel).items():
        if card["features"][name] != value:
            raise ConfigError(
                f"features.{name} is {value:g}, and the network that reads F0 for sizes.harmonics was trained with "
                f"{card['features'][name]:g}; set sizes.harmonics=0, or leave features as they are"
            )
    return load_file(WEIGHTS)
