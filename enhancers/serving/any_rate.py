"""Enhancers at any sample rate: a network's own band goes through the network, what lies above is treated after it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from clean_corpus.enhancers.serving.batches import check_batch
from clean_corpus.enhancers.serving.high_band import HighBand, extrapolated_bands
from clean_corpus.pipeline.audio.resample import ResampledStream, resample
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.device import staged

if TYPE_CHECKING:
    from clean_corpus.enhancers.serving.enhancer import Enhancer
    from clean_corpus.enhancers.serving.sgmse import ScoreDiffusion

STRETCH_S = 30  # what is resampled and treated at once
CONTEXT_S = 2  # further seconds on either side; a whole number of samples and of frames at every rate
PADDING_S = 0.01  # of silence after a signal, so that the shortest one has a sample at the network's rate
BLOCK_S = 10  # of a stream that is resampled


class BatchEnhancer(Protocol):
    """What enhances a batch of waveforms of one rate: (B, N), lengths (B,) -> (B, N)."""

    sample_rate: int

    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor: ...


class _Row(NamedTuple):
    """A signal of a batch: x (N,), low_in and low_out (M,), and the row (>= N,) that its estimate is written into.

    `rms` is that of low_in.
    """

    x: Audio
    low_in: Audio
    low_out: Audio
    output: Audio
    rms: float


class AnyRate:
    """An enhancer of another rate than its network's: call it as the network.

    The signal is split in two: `low` is the signal resampled to the network's rate and back, `high` the rest, so their
    sum is the signal whatever the resampler's filter. The network gets `low` at its own rate; `high_band` gets `high`
    with what the network got and made. A network that changes nothing gives back the signal. At a rate below the
    network's, `high` is what the way there and back loses under half the rate.

    Besides signal and result it takes 8 bytes for each sample at the network's rate, what the network takes, and a few
    copies of a stretch of 34 s, however long the signal is.

    Shapes: (B, N) float32, zero beyond lengths (B,) in samples -> (B, N), zero beyond lengths.
    Raises: ValueError if the batch is empty, a length exceeds N or a sample is not finite.
    """

    def __init__(self, network: BatchEnhancer, sample_rate: int, *, high_band: HighBand = extrapolated_bands) -> None:
        self.network, self.sample_rate, self.high_band = network, sample_rate, high_band

    @torch.inference_mode()
    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor:
        check_batch(noisy, lengths)
        signals = [clip[:n] for clip, n in zip(noisy.cpu().numpy(), lengths.tolist(), strict=True)]
        lows = [self._down(x) for x in signals]
        low_lengths = torch.tensor([len(low) for low in lows])
        on_gpu = getattr(self.network, "device", "cpu") != "cpu"
        batch = staged(lows, max(1, int(low_lengths.max())), pinned=on_gpu)
        del lows
        estimates = self.network(batch, low_lengths)
        result = torch.zeros_like(noisy, device="cpu")
        parts = zip(signals, batch.numpy(), estimates.numpy(), low_lengths.tolist(), result.numpy(), strict=True)
        rows = [
            _Row(x, low_in[:n_low], low_out[:n_low], output, _rms(low_in[:n_low]))
            for x, low_in, low_out, n_low, output in parts
        ]
        for start_s in range(0, -(-noisy.shape[1] // self.sample_rate), STRETCH_S):
            if here := [row for row in rows if len(row.x) > start_s * self.sample_rate]:
                self._combine(here, start_s)
        return result

    def _down(self, x: Audio) -> Audio:
        """Return a signal at the network's rate, block by block, (N,) -> (ceil(N * rate of the network / rate),)."""
        stream = ResampledStream(self.sample_rate, self.network.sample_rate)
        n_low = -(-len(x) * self.network.sample_rate // self.sample_rate)
        low, n_done = np.zeros(n_low, np.float32), 0
        step = BLOCK_S * self.sample_rate
        parts = [x[first : first + step] for first in range(0, len(x), step)]
        for block in (*parts, np.zeros(round(PADDING_S * self.sample_rate), np.float32), None):
            part = stream.flush() if block is None else stream.push(block)
            part = part[: n_low - n_done]
            low[n_done : n_done + len(part)] = part
            n_done += len(part)
        return low

    def _combine(self, rows: Sequence[_Row], start_s: int) -> None:
        """Write the estimates of the stretch that begins at a second."""
        rate, low_rate = self.sample_rate, self.network.sample_rate
        begin_s, end_s = max(0, start_s - CONTEXT_S), start_s + STRETCH_S + CONTEXT_S
        wide, low = slice(begin_s * rate, end_s * rate), slice(begin_s * low_rate, end_s * low_rate)
        low_in, low_out = [row.low_in[low] for row in rows], [row.low_out[low] for row in rows]
        high = [x - self._up(part, len(x)) for x, part in zip((row.x[wide] for row in rows), low_in, strict=True)]
        treated = self.high_band(low_in, low_out, high, low_rate, rate, [row.rms for row in rows])
        for row, part, above in zip(rows, low_out, treated, strict=True):
            first, last = start_s * rate, min(len(row.x), (start_s + STRETCH_S) * rate)
            here = slice(first - begin_s * rate, last - begin_s * rate)
            row.output[first:last] = (self._up(part, len(above)) + above)[here]

    def _up(self, low: Audio, n_samples: int) -> Audio:
        """Return a stretch at the signal's rate, cut or continued with silence to so many samples."""
        up = resample(low, self.network.sample_rate, self.sample_rate)[:n_samples]
        return np.pad(up, (0, n_samples - len(up)))


def _rms(x: Audio) -> float:
    return float(np.sqrt(np.einsum("n,n->", x, x, dtype=np.float64) / max(1, len(x))))


def at_rate(
    enhancer: "Enhancer | ScoreDiffusion", sample_rate: int, *, upper_band: HighBand | None = None
) -> "Enhancer | ScoreDiffusion | AnyRate":
    """Return an enhancer that takes and gives signals of a rate; at its own rate it stays as it is.

    Above that rate `upper_band` treats what lies above the enhancer's band, or the extrapolated gain where it is None.
    """
    if enhancer.sample_rate == sample_rate:
        return enhancer
    treats = upper_band if upper_band and sample_rate > enhancer.sample_rate else extrapolated_bands
    return AnyRate(enhancer, sample_rate, high_band=treats)
