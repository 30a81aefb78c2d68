"""Waveform windows: what SEGAN and WGAN see, and what is compared."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import lfilter, preemphasis

from clean_corpus.enhancers.domains.spectral import ForwardPass

WINDOW = 16384  # samples, 1.024 s at 16 kHz
EMPHASIS = 0.95
WINDOWS_AT_ONCE = 64  # in use: a minute of audio, whatever the signals' length


@dataclass(frozen=True)
class WaveformWindows:
    """Non-overlapping windows of the pre-emphasised waveform in, windows of the enhanced one out.

    A network takes windows and a latent drawn from `latent`: anew for each window in training; in use, and in
    validation, one that depends on the window's place in its signal alone, so that the same signal always gives the
    same bytes, whatever it is batched with.

    Source: paper [004], section 3.1; SYSTEMS.md section 6.2. The last window of a signal is padded with zeros.
    Departs: training windows do not overlap; pairs are cut at random, which shifts them by more than the paper's 0.5 s
    steps. Of a pair only whole windows are used: 1.024 s or a multiple of it wastes nothing.
    Shapes: window in samples; the network's (B * W, 1, window) -> same, the W windows of a signal one after the other.
    Raises: ValueError if a training pair is shorter than a window.
    """

    latent: Literal["uniform", "normal"] = "uniform"
    window: int = WINDOW
    emphasis: float = EMPHASIS

    def forward(self, network: nn.Module, noisy: Tensor, clean: Tensor) -> ForwardPass:
        whole = noisy.shape[-1] // self.window * self.window
        if not whole:
            raise ValueError(f"a pair of {noisy.shape[-1]} samples is shorter than a window of {self.window}")
        noisy, clean = noisy[:, :whole], clean[:, :whole]
        return ForwardPass(self, network, noisy, clean, noisy.new_empty(0))

    def output(self, run: ForwardPass) -> Tensor:
        return self.run(run.network, run.noisy)

    def enhance(self, network: nn.Module, noisy: Tensor, lengths: Tensor) -> Tensor:
        return self.waveform(self.run(network, noisy), noisy.new_empty(0), noisy.shape[-1])

    def waveform(self, output: Tensor, noisy_spec: Tensor, n_samples: int) -> Tensor:
        joined = output.reshape(-1, self.n_windows(n_samples) * self.window)[:, :n_samples]
        taps = joined.new_tensor(((1.0, -self.emphasis), (1.0, 0.0)))
        with torch.autocast(joined.device.type, enabled=False):  # which would halve part of lfilter's work, and fail
            return lfilter(joined, *taps, clamp=False)  # torchaudio's deemphasis would clip at full scale

    def n_windows(self, n_samples: int) -> int:
        """Windows that cover `n_samples` samples.

        >>> WaveformWindows().n_windows(16385)
        2
        """
        return -(-n_samples // self.window)

    def cut(self, wave: Tensor) -> Tensor:
        """Pre-emphasised windows, zeros after the end.

        Shapes: wave (B, N) -> (B * n_windows(N), 1, window).
        """
        padded = functional.pad(wave, (0, self.n_windows(wave.shape[-1]) * self.window - wave.shape[-1]))
        return preemphasis(padded, self.emphasis).reshape(-1, 1, self.window)

    def run(self, network: nn.Module, noisy: Tensor) -> Tensor:
        """The network's windows for signals (B, N)."""
        windows, per_signal = self.cut(noisy), self.n_windows(noisy.shape[-1])
        shape = network.latent_shape(self.window)
        if network.training:
            return network(windows, self._draw(windows.new_empty(len(windows), *shape))).float()
        generator = torch.Generator().manual_seed(0)  # on the CPU: every device gets the same latent
        by_place = windows.reshape(-1, per_signal, 1, self.window)
        parts = []
        for block in by_place.split(max(1, WINDOWS_AT_ONCE // len(noisy)), 1):
            latent = torch.stack([self._draw(torch.empty(shape), generator) for _ in range(block.shape[1])])
            parts.append(network(block.flatten(0, 1), latent.to(windows).repeat(len(noisy), 1, 1)).float())
        return torch.cat([part.reshape(len(noisy), -1, 1, self.window) for part in parts], 1).flatten(0, 1)

    def _draw(self, empty: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.latent == "uniform":
            return empty.uniform_(-1, 1, generator=generator)
        return empty.normal_(generator=generator)


def clean_windows(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The output windows against those of the pre-emphasised clean waveform."""
    return run.output, run.domain.cut(run.clean)


def waveform_error(estimate: Tensor, reference: Tensor, *, emphasis: float = EMPHASIS) -> Tensor:
    """Error of the de-emphasised windows over their speech, in dB: what a signal-to-noise ratio measures.

    Pre-emphasis takes 26 dB off the rumble of a room, most of the noise of one, and L1 with it. The filter runs round
    the end of a window (a product of spectra); what is 35 dB down hardly counts any more, and silence is taken as
    -60 dBFS.
    Shapes: (B, 1, N) pre-emphasised windows twice -> ().

    >>> speech = torch.randn(1, 1, 16384)
    >>> round(waveform_error(1.1 * speech, speech).item(), 1)
    -19.9
    """
    n = reference.shape[-1]
    turns = torch.fft.rfftfreq(n, device=reference.device) * 2 * math.pi
    undo = 1 / (1 + emphasis**2 - 2 * emphasis * torch.cos(turns)) / n  # bins to mean squares
    error, speech = (
        (torch.fft.rfft(x.float()).abs().square() * undo).mean(-1) for x in (estimate - reference, reference)
    )
    return 10 * torch.log10(error / (speech + 1e-6) + 10**-3.5).mean()


def noisy_windows(run: ForwardPass) -> Tensor:
    """The windows that the network saw: the condition under which a critic judges."""
    return run.domain.cut(run.noisy)
