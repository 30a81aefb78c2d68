"""Edges of a clip: where its speech begins and ends to the millisecond, and how much of the silence around it stays."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.voice_activity import WINDOW_S
from clean_corpus.pipeline.core.types import Audio

FRAME_S = 0.005
REACH_S = 0.3  # of soft beginnings and ends, outside the windows that the detector calls speech
CLOSURE_S = 0.06  # silence before a plosive is released, within that reach
SLACK_S = 0.25  # of the detector's windows at either end may be silence
AUDIBLE_DB = 9.0  # above the noise around the speech; frames of noise lie within 4 dB of its level
MASKED_DB = 55.0  # under the loud frames of speech nothing is heard
HUM_HZ = 150.0
FEWEST_FRAMES = 20  # of noise, to know its level
GRID_HZ = 25  # clips last a multiple of 40 ms, at which rulers and networks waste nothing on a last piece


@dataclass(frozen=True)
class Edges:
    """First sample of a clip and the one behind its last, and the same of the speech in it."""

    start: int
    end: int
    speech_start: int
    speech_end: int


def find_edges(
    x: Audio, speech: NDArray[np.bool_], *, pad_s: float, min_s: float = 0.0, max_s: float, sample_rate: int
) -> Edges:
    """Return the edges of the clip that holds the speech in a stretch, which is all that the clip may take.

    The detector is late where speech begins softly, and stays on when it has ended: the edges of its windows move
    outward as long as something is heard, and inward by `pad_s` at most as long as nothing is. `pad_s` stays around
    that where there is room, more if the clip would be shorter than `min_s`, and somewhat more or less so that it lasts
    a multiple of 40 ms.

    Shapes: x (N,), speech (T,) windows of 32 ms from the first sample on.
    Raises: ValueError if no window is speech.
    """
    hop = WINDOW_S * sample_rate
    windows = np.flatnonzero(speech)
    if not len(windows):
        raise ValueError("no window of the stretch is speech")
    first, last = int(windows[0] * hop), min(int((windows[-1] + 1) * hop), len(x))
    frame = round(FRAME_S * sample_rate)
    levels = _levels_db(x, frame, sample_rate)
    quiet = _quiet(speech, levels.shape[1], frame / hop)
    before, after = first // frame, max(last - 1, first) // frame
    lead = _outermost(_audible(levels, quiet, slice(before)), before, -1) * frame
    tail = min((_outermost(_audible(levels, quiet, slice(after + 1, None)), after, 1) + 1) * frame, len(x))
    limit = int(max_s * sample_rate)
    if tail - lead > limit:  # what is soft goes first
        lead, tail = max(lead, first), min(tail, last)
    pad = min(round(pad_s * sample_rate), max(0, limit - (tail - lead)) // 2)
    lead, tail = min(lead, first + pad), max(tail, last - pad)  # what the detector calls speech stays, if as padding
    start, end = _at_least(ceil(min_s * sample_rate), max(0, lead - pad), min(len(x), tail + pad), len(x))
    start, end = _on_grid(start, end, min(lead, first), max(tail, last), len(x), limit, sample_rate)
    return Edges(start, end, min(max(lead, start), end), max(min(tail, end), start))


def _levels_db(x: Audio, frame: int, sample_rate: int) -> NDArray[np.float64]:
    """Return the level of each frame in two bands, dB.

    Hum and rumble are taken away, and since the hiss of an s or f lies under what is left of them, the difference of
    neighbouring samples is listened to besides.
    Shapes: x (N,) -> (2, F).
    """
    from scipy.signal import butter, sosfiltfilt  # takes a second, which a process that only looks up does without

    sections = butter(2, HUM_HZ, "highpass", fs=sample_rate, output="sos")
    bands = np.stack((sosfiltfilt(sections, x, padlen=0), np.diff(x, prepend=x[:1])))
    padded = np.pad(bands, ((0, 0), (0, -len(x) % frame)), mode="edge")
    return 10 * np.log10(np.square(padded).reshape(2, -1, frame).mean(axis=2) + 1e-15)


def _quiet(speech: NDArray[np.bool_], n_frames: int, windows_per_frame: float) -> NDArray[np.bool_]:
    middles = ((np.arange(n_frames) + 0.5) * windows_per_frame).astype(int)
    return ~speech[np.minimum(middles, len(speech) - 1)]


def _audible(levels_db: NDArray[np.float64], quiet: NDArray[np.bool_], side: slice) -> NDArray[np.bool_]:
    """Return which frames stand out of the noise, in either band: of the noise on that side if there is enough of it.

    Shapes: levels_db (2, F), quiet (F,) -> (F,).
    """
    there = np.zeros_like(quiet)
    there[side] = quiet[side]
    known = next((chosen for chosen in (there, quiet) if chosen.sum() >= FEWEST_FRAMES), None)
    if known is None:
        noise_db = np.percentile(levels_db, 2, axis=1, keepdims=True)
    else:
        noise_db = np.percentile(levels_db[:, known], 20, axis=1, keepdims=True)
    masked_db = np.percentile(levels_db, 95, axis=1, keepdims=True) - MASKED_DB
    return (levels_db > np.maximum(noise_db + AUDIBLE_DB, masked_db)).any(axis=0)


def _outermost(audible: NDArray[np.bool_], edge: int, step: int) -> int:
    """Return the outermost frame of the speech whose detector has it end at a frame, seen in the direction `step`."""
    outside = (audible[edge + 1 :] if step > 0 else audible[:edge][::-1])[: round(REACH_S / FRAME_S)]
    heard = np.flatnonzero(outside)
    beyond = np.flatnonzero(np.diff(heard, prepend=-1) > round(CLOSURE_S / FRAME_S))
    if len(connected := heard[: beyond[0]] if len(beyond) else heard):
        return edge + step * (int(connected[-1]) + 1)
    inside = np.flatnonzero((audible[: edge + 1][::-1] if step > 0 else audible[edge:])[: round(SLACK_S / FRAME_S)])
    return edge - step * int(inside[0]) if len(inside) else edge


def _at_least(length: int, start: int, end: int, n_samples: int) -> tuple[int, int]:
    """Return edges that are so far apart, if there is as much, both moved alike where both can be.

    >>> _at_least(10, 4, 8, 100), _at_least(10, 1, 5, 100), _at_least(10, 1, 5, 8)
    ((1, 11), (0, 10), (0, 8))
    """
    missing = max(0, length - (end - start))
    before = min(start, max(missing // 2, missing - (n_samples - end)))
    return start - before, min(n_samples, end + missing - before)


def _on_grid(
    start: int, end: int, first: int, last: int, n_samples: int, limit: int, sample_rate: int
) -> tuple[int, int]:
    """Return the edges moved so that a clip lasts a multiple of 40 ms, if that can be without touching its speech.

    Padding grows at the end first; where there is no room, it shrinks.
    """
    step = sample_rate // GRID_HZ
    if sample_rate % GRID_HZ:
        return start, end
    missing = -(end - start) % step
    after = min(missing, n_samples - end)
    if missing - after <= start and end - start + missing <= limit:
        return start - (missing - after), end + after
    surplus = (end - start) % step
    after = min(surplus, end - last)
    if surplus - after <= first - start:
        return start + (surplus - after), end - after
    return start, end
