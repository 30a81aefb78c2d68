"""Long pauses within a clip shortened, at quiet instants and without a click."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.edges import GRID_HZ
from clean_corpus.pipeline.core.types import Audio

CROSSFADE_S = 0.01
SEARCH_S = 0.03  # around each cut, for a quieter instant
GUARD_S = 0.1  # of a pause stay on either side at least: a soft ending, a breath before a word


def shortened(
    x: Audio, speech: NDArray[np.bool_], hop: float, *, max_pause_s: float, sample_rate: int
) -> tuple[Audio, tuple[tuple[int, int], ...]]:
    """Return a clip whose pauses between speech last at most about `max_pause_s`, and the stretches taken out of it.

    The middle of a pause goes. Both sides meet in a crossfade of 10 ms at equal power, since they are noise that has
    nothing in common.
    Shapes: x (N,), speech (T,) windows of `hop` samples -> (M,), and (first sample, number of samples) of x each.
    """
    edges = np.flatnonzero(np.diff(speech.astype(np.int8)))
    silent = [(a + 1, b + 1) for a, b in pairwise(edges.tolist()) if not speech[a + 1]]
    runs = [(int(first * hop), int(last * hop)) for first, last in silent]
    kept, step = max(max_pause_s, 2 * GUARD_S), sample_rate // GRID_HZ
    removed = []
    for start, end in runs:
        surplus = int((end - start - kept * sample_rate) // step) * step
        if surplus > 0:
            removed.append((_quietest(x, start + round(kept / 2 * sample_rate), surplus, sample_rate), surplus))
    return without(x, removed, sample_rate), tuple(removed)


def _quietest(x: Audio, at: int, length: int, sample_rate: int) -> int:
    """Return where near `at` a stretch of `length` samples is best taken out: where both of its ends are quiet."""
    reach, fade = round(SEARCH_S * sample_rate), round(CROSSFADE_S * sample_rate)
    first = max(0, at - reach)
    power = np.concatenate(([0.0], np.cumsum(np.square(x[first : at + length + reach + fade], dtype=np.float64))))
    places = np.arange(0, min(2 * reach, len(power) - 1 - fade - length) + 1)
    around = power[places + fade] - power[places] + power[places + length + fade] - power[places + length]
    return first + int(np.argmin(around))


def without(x: Audio, removed: list[tuple[int, int]] | tuple[tuple[int, int], ...], sample_rate: int) -> Audio:
    """Return a clip without some stretches, (first sample, number of samples) each, in order.

    Shapes: x (N,) -> (N - their sum,).

    >>> without(np.ones(100, np.float32), [(20, 30)], 100).shape
    (70,)
    """
    if not removed:
        return x
    fade = round(CROSSFADE_S * sample_rate)
    slope = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)).astype(np.float32)
    parts, start = [], 0
    for first, length in removed:
        parts.append(x[start:first])
        parts.append(x[first : first + fade] * slope[::-1] + x[first + length : first + length + fade] * slope)
        start = first + length + fade
    return np.concatenate((*parts, x[start:]))
