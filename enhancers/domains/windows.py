"""Domain of waveform windows, as SEGAN and WGAN see them, paper [004]."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import lfilter, preemphasis

from clean_corpus.enhancers.domains.spectral import ForwardPass

WINDOW = 16384  # samples, 1.024 s at 16 kHz
EMPHASIS = 0.95
WINDOWS_AT_ONCE = 64  # outside training: a minute of audio, however long the signals are


@dataclass(frozen=True)
class WaveformWindows:
    """Domain of networks that turn windows of the pre-emphasised waveform, end to end, into enhanced windows.

    A network takes windows and a latent of the distribution `latent`. Training draws a new one for each window. In use
    and in validation the latent depends on the window's position in its signal alone, so that a signal gives the same
    bytes every time, whatever it is batched with.

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
        """Return how many windows cover `n_samples` samples.

        >>> WaveformWindows().n_windows(16385)
        2
        """
        return -(-n_samples // self.window)

    def cut(self, wave: Tensor) -> Tensor:
        """Cut a waveform into pre-emphasised windows, with zeros after its end.

        Shapes: wave (B, N) -> (B * n_windows(N), 1, window).
        """
        padded = functional.pad(wave, (0, self.n_windows(wave.shape[-1]) * self.window - wave.shape[-1]))
        return preemphasis(padded, self.emphasis).reshape(-1, 1, self.window)

    def run(self, network: nn.Module, noisy: Tensor) -> Tensor:
        """Return the network's windows for signals (B, N)."""
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
        """Fill a tensor with random numbers of the distribution `latent`."""
        if self.latent == "uniform":
            return empty.uniform_(-1, 1, generator=generator)
        return empty.normal_(generator=generator)
