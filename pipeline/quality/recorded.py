"""Clipping, bandwidth and cutoff of a recording at its own rate, for any stretch of a stream that is read once."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.pieces import Frames, Pieces
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import signal_measures

PIECE_S = 0.5  # a clip begins and ends within a piece, which counts by the share of it that the clip has


class Recorded(NamedTuple):
    """Clipping ratio, bandwidth and cutoff of a stretch; None where it is silent or too short, or has no cutoff."""

    clipping_ratio: float | None
    bandwidth_hz: float | None
    cutoff_hz: float | None


class RecordedMeasures:
    """Clipping, bandwidth and cutoff of stretches of a stream that are asked for in order.

    Resampling to the rate of the corpus hides both: flat tops become round, and what lies above is gone. What is known
    of the last `reach_s` seconds stays in memory, 6 kB for half a second at 48 kHz.
    """

    def __init__(self, sample_rate: int, *, step: float, reach_s: float) -> None:
        self._sample_rate, self._step = sample_rate, step
        self._pieces = Pieces(round(PIECE_S * sample_rate))
        maxlen = round(reach_s / PIECE_S) + 2 if np.isfinite(reach_s) else None
        self._known: deque[tuple[int, float, NDArray[np.float64]]] = deque(maxlen=maxlen)
        self._n_pieces = 0

    def push(self, channels: Frames, mono: Audio) -> None:
        """Take the channels that were used, and what was made of them.

        Shapes: channels (N, C), mono (N,).
        """
        for piece in self._pieces.push(np.concatenate((channels, mono[:, None]), axis=1)):
            self._measure(piece)

    def finish(self) -> None:
        """Measure what is left at the end of the stream."""
        for piece in self._pieces.flush():
            self._measure(piece)

    def _measure(self, piece: Frames) -> None:
        # of channels that were mixed the worst counts: their mean has round tops
        clipped = max(signal_measures.clipped_samples(channel, step=self._step) for channel in piece[:, :-1].T)
        power = signal_measures.power_spectrum(piece[:, -1], self._sample_rate)
        self._known.append((len(piece), clipped / len(piece), power))
        self._n_pieces += 1

    def of(self, start_s: float, duration_s: float) -> Recorded:
        """Return the measures of a stretch.

        Shapes: -> [0, 1], and Hz up to half the recording's rate.
        """
        before = self._n_pieces - len(self._known)
        total = clipped = heard = 0.0
        spectrum = np.zeros(1)
        for number, (length, ratio, power) in enumerate(self._known, before):
            begin_s = number * PIECE_S
            overlap_s = min(start_s + duration_s, begin_s + length / self._sample_rate) - max(start_s, begin_s)
            if overlap_s <= 0:
                continue
            total += overlap_s
            clipped += overlap_s * ratio
            if np.isfinite(power).all():
                heard += overlap_s
                spectrum = spectrum + overlap_s * power
        bandwidth = cutoff = np.nan
        if heard:
            bandwidth = signal_measures.bandwidth_of_spectrum_hz(spectrum / heard, self._sample_rate, step=self._step)
            cutoff = signal_measures.cutoff_of_spectrum_hz(spectrum / heard, self._sample_rate)
        hz = [None if np.isnan(value) else float(value) for value in (bandwidth, cutoff)]
        return Recorded(round(clipped / total, 7) if total else None, *hz)
