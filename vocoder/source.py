"""What a vocoder is told of a voice's source beside the past samples: where in its period the voice is, per sample.

A WaveNet that was trained for hours and not for weeks predicts the next sample of a recording well, and yet does not
keep a voice going from samples of its own: harmonics gain it little on the average sample, so they come last, and until
then it whispers. The phase of the fundamental, and the samples a period ago, are what it would have to find among them.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.vocoder.pitch import F0_RANGE_HZ, FEATURES, PitchNetwork

WINDOW_S = 0.025  # in which the phase of a recording's fundamental is measured
HIDDEN = 64
TAPS = 7  # samples around the one a period ago
RATE = FEATURES.sample_rate
LOCKED = round(WINDOW_S * RATE) // 2
"""Samples on each side that the phase of one is measured in."""
LOOKED_BACK = math.ceil(RATE / F0_RANGE_HZ[0]) + TAPS // 2
"""Samples before one that lie around a period ago at most."""


class Voice(NamedTuple):
    """What frames say of the source at each sample, (B, N) each.

    Phase of the fundamental in radians, probability of a voice, and the period in samples, int64.
    """

    phase: Tensor
    voiced: Tensor
    period: Tensor


class Source(nn.Module):
    """Embeds the phases of a voice's harmonics and the samples a period ago, once for each stack of layers.

    Both are faded by how voiced a frame is. F0 comes from the frames. In training its running phase is shifted to that
    of the recording, in generation it runs freely, so that either way the phase is the one that the speech has.

    Source: Wang et al. 2019 (neural source-filter models), section II.B, for sines of F0 as the input of a network; Wu
    et al. 2021 (quasi-periodic WaveNet), section III.A, for inputs that lie a period back.
    Departs: both are inputs of an autoregressive network beside its past samples; phases are not random but measured,
    and samples a period ago are inputs of the stacks, not the taps of dilated layers.
    A fresh one adds nothing: the weights of its output are zeros.
    Shapes: phases (B, N, HIDDEN) as `phases` embeds them, past (B, N, TAPS) -> (B, N, stacks, channels).
    """

    def __init__(self, n_mels: int, harmonics: int, stacks: int, channels: int) -> None:
        super().__init__()
        self.pitch = PitchNetwork(n_mels).requires_grad_(False)
        self.register_buffer("orders", torch.arange(1, harmonics + 1, dtype=torch.float64), persistent=False)
        self.hidden = nn.Linear(2 * harmonics + 1, HIDDEN)
        self.past = nn.Linear(TAPS, HIDDEN, bias=False)
        self.output = nn.Linear(HIDDEN, stacks * channels)
        self.stacks = stacks
        for parameter in self.output.parameters():
            nn.init.zeros_(parameter)

    def forward(self, phases: Tensor, past: Tensor) -> Tensor:
        return self.output(functional.relu(phases + self.past(past))).unflatten(2, (self.stacks, -1))

    def phases(self, voice: Voice) -> Tensor:
        """Embed the phases of all harmonics, (B, N, HIDDEN)."""
        angles = torch.remainder(voice.phase.double()[..., None] * self.orders, 2 * math.pi).float()
        waves = torch.cat((angles.cos(), angles.sin(), torch.ones_like(angles[..., :1])), 2)
        return self.hidden(waves * voice.voiced[..., None])

    @torch.no_grad()
    def spoken(self, log_mel: Tensor, hop_length: int) -> Voice:
        """Read the voice of frames, (B, n_mels, T), for their T * hop_length samples."""
        f0_hz, voiced = self.pitch.read(log_mel)
        period = (RATE / per_sample(f0_hz, hop_length)).round().long()
        return Voice(running_phase(f0_hz, hop_length), per_sample(voiced, hop_length), period)

    @torch.no_grad()
    def heard(self, x: Tensor, log_mel: Tensor, hop_length: int, context: int) -> Voice:
        """Read the voice of a recording x (B, N) from it and its frames, (B, n_mels, T + 2 context)."""
        spoken = self.spoken(log_mel, hop_length)
        inside = slice(context * hop_length, context * hop_length + x.shape[1])
        phase, voiced, period = (part[:, inside] for part in spoken)
        return Voice(locked(phase, x), voiced, period)


def a_period_ago(x: Tensor, voice: Voice) -> Tensor:
    """Return the companded samples around the one a period before each, silence before the first: -> (B, N, TAPS).

    Samples x (B, N) are as the network hears them. All taps lie in the past of the sample: no period is as short.
    """
    companded = compressed(x)
    at = torch.arange(x.shape[1], device=x.device) - voice.period
    taps = [companded.gather(1, (at + k).clamp_min(0)) * (at + k >= 0) for k in range(-(TAPS // 2), TAPS // 2 + 1)]
    return torch.stack(taps, 2) * voice.voiced[..., None]


def compressed(x: Tensor) -> Tensor:
    """Compand samples as mu-law does, to twice its scale: weak ones matter as much as strong ones."""
    return 2 * x.sign() * torch.log1p(255 * x.abs()) / math.log(256)


def per_sample(values: Tensor, hop_length: int) -> Tensor:
    """Interpolate between the centres of frames, (B, T) -> (B, T * hop_length)."""
    return functional.interpolate(values[:, None], scale_factor=hop_length, mode="linear", align_corners=False)[:, 0]


def running_phase(f0_hz: Tensor, hop_length: int) -> Tensor:
    """Return the phase of a tone whose frequency follows F0, (B, T) -> (B, T * hop_length) radians in float64.

    >>> round((running_phase(torch.full((1, 10), 200.0), 80)[0, -1] / (2 * math.pi)).item(), 6)  # 800 at 16 kHz
    10.0
    """
    return 2 * math.pi * (per_sample(f0_hz, hop_length).double() / RATE).cumsum(1)


def locked(phase: Tensor, x: Tensor) -> Tensor:
    """Shift a phase to that of the component in x that it nearly follows: what the two differ by locally is added.

    Beyond x lies silence. So of a part of a recording the outer LOCKED samples on each side have another phase than in
    the whole.

    Shapes: (B, N) twice -> (B, N).
    """
    n = 2 * LOCKED + 1
    window = torch.hann_window(n, device=x.device)[None, None]
    turned = torch.stack((x * phase.cos(), -x * phase.sin()), 1).float().flatten(0, 1)
    real, imaginary = functional.conv1d(turned[:, None], window, padding=LOCKED).view(len(x), 2, -1).unbind(1)
    return phase + torch.atan2(imaginary, real)
