"""Where a recording with time-stamped texts is cut: a plan from its texts, and from what is heard in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.edges import GRID_HZ, REACH_S
from clean_corpus.pipeline.audio.segment import JOIN_PAUSE_S, SENTENCE_PAUSE_S, STRAY_PAUSE_S, mean_around
from clean_corpus.pipeline.audio.voice_activity import WINDOW_S
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.types import TimedText

TOLERANCE_S = 0.4  # by which people and programs set the times of a text early or late
NEAR_S = 0.2  # a pause so far from the time that is told counts half
LONGEST_S = 1.0  # a longer pause is no surer sign
OVERLAP_S = 0.25  # of two texts: more, and they are spoken at once
BREATH_S = 0.1  # the shortest pause between words: less may be the closure of a plosive


@dataclass(frozen=True)
class Heard:
    """What is known of each 32 ms window of a recording: whether it is speech, how surely, and its power."""

    speech: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    power: NDArray[np.float64]

    @cached_property
    def quiet(self) -> NDArray[np.bool_]:
        """The windows that are no speech."""
        return ~self.speech

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and last window of speech, plus one, among some windows; None if none is."""
        inside = np.flatnonzero(self.speech[start:end])
        return (start + int(inside[0]), start + int(inside[-1]) + 1) if len(inside) else None


@dataclass(frozen=True)
class Piece:
    """Windows [start, end) of a recording that become a clip, with the texts that are spoken in them, none if unknown.

    `low` and `high` bound what the clip may take. `overlaps` is a text of another speaker at the same time. With
    `is_part` the texts are not spoken in this piece alone.
    """

    start: int
    end: int
    texts: tuple[TimedText, ...] = ()
    overlaps: TimedText | None = None
    is_part: bool = False
    low: int = 0
    high: int = 0


def plan(texts: Sequence[TimedText], heard: Heard, config: SegmentConfig) -> list[Piece]:
    """Return the pieces of a recording in order: those of its texts, and speech outside all of them.

    A text ends and begins at the pause that is nearest and longest within 0.4 s of its time; where there is none, at
    the quietest instant. Neighbours of one speaker are joined where no pause is between them, as long as they stay
    within max_s, and where they stay within target_s. What is longer than max_s is cut at pauses.
    Texts that begin behind the end of the recording are left out.
    """
    n_windows = len(heard.speech)
    inside = [text for text in texts if text.start_s < n_windows * WINDOW_S]
    apart, at_once = _apart(inside)
    pieces = [part for piece in _joined(_placed(apart, heard), heard, config) for part in _cut(piece, heard, config)]
    pieces += [Piece(*_windows(text, n_windows), (text,), other) for text, other in at_once]
    unclaimed = heard.speech.copy()
    for piece in pieces:
        unclaimed[piece.start : piece.end] = False
    for start, end in _runs(unclaimed, SENTENCE_PAUSE_S):
        if np.count_nonzero(unclaimed[start:end]) * WINDOW_S >= config.min_speech_s:
            pieces += [replace(part, is_part=False) for part in _cut(Piece(start, end), heard, config)]
    return _with_room(sorted(pieces, key=lambda piece: (piece.start, piece.end)), n_windows, config)


def _windows(text: TimedText, n_windows: int) -> tuple[int, int]:
    start = min(int(text.start_s / WINDOW_S), n_windows - 1)
    return start, max(min(ceil(text.end_s / WINDOW_S), n_windows), start + 1)


def _apart(texts: Sequence[TimedText]) -> tuple[list[tuple[TimedText, ...]], list[tuple[TimedText, TimedText]]]:
    """Return the texts that are spoken one after the other, and those that another speaker's overlaps, with that one.

    Texts of one speaker that overlap are one: subtitles stay on the screen while the next comes.
    """
    ordered = sorted(texts, key=lambda text: (text.start_s, text.end_s))
    disturbed: dict[int, TimedText] = {}
    open_: list[int] = []
    for number, text in enumerate(ordered):
        open_ = [other for other in open_ if ordered[other].end_s > text.start_s + OVERLAP_S]
        for other in open_:
            if ordered[other].speaker != text.speaker and text.end_s > text.start_s + OVERLAP_S:
                disturbed.setdefault(number, ordered[other])
                disturbed.setdefault(other, text)
        open_.append(number)
    units: list[tuple[TimedText, ...]] = []
    for number, text in enumerate(ordered):
        if number in disturbed:
            continue
        known = units[-1] if units else ()
        if known and max(t.end_s for t in known) > text.start_s + OVERLAP_S and known[-1].speaker == text.speaker:
            units[-1] += () if text.text in (t.text for t in units[-1]) else (text,)
        else:
            units.append((text,))
    return units, [(ordered[number], other) for number, other in disturbed.items()]


@dataclass
class _Unit:
    """Texts with the windows of their times, `start` to `end`, and of their speech, `first` to `last`."""

    texts: tuple[TimedText, ...]
    start: int
    end: int
    first: int
    last: int


def _placed(units: Sequence[tuple[TimedText, ...]], heard: Heard) -> list[_Unit]:
    """Return the texts with the windows of their speech; none where nothing is heard, and `first` is `last`."""
    reach, n_windows = round(TOLERANCE_S / WINDOW_S), len(heard.speech)
    found = []
    for texts in units:
        bounds = [_windows(text, n_windows) for text in texts]
        start, end = bounds[0][0], max(end for _, end in bounds)
        found.append(_Unit(texts, start, end, start, end))
    for unit, other in zip([None, *found], [*found, None], strict=True):
        middle = (unit.start + unit.end) // 2 if unit else 0
        other_middle = (other.start + other.end) // 2 if other else n_windows
        if unit and other and other.start - unit.end <= 2 * reach:
            told = sorted((unit.end, other.start))
            unit.last, other.first = _boundary(heard, *told, middle, other_middle)
            continue
        if unit:
            unit.last, _ = _boundary(heard, unit.end, unit.end, middle, other_middle)
        if other:
            _, other.first = _boundary(heard, other.start, other.start, middle, other_middle)
    for unit in found:
        unit.first, unit.last = heard.span(unit.first, unit.last) or (unit.start, unit.start)
    return found


def _boundary(heard: Heard, earliest: int, latest: int, low: int, high: int) -> tuple[int, int]:
    """Return the windows at which speech ends and goes on around a boundary that is told to lie between two windows.

    Of the pauses that begin or end within 0.4 s, the longest counts, one that is 0.2 s away half.
    """
    reach = round(TOLERANCE_S / WINDOW_S)
    low, high = max(low, earliest - reach), min(high, latest + reach)
    best, weight = None, 0.0
    for start, end in _runs(heard.quiet, 0.0, low, high):
        away_s = max(earliest - end, start - latest, 0) * WINDOW_S
        value = min((end - start) * WINDOW_S, LONGEST_S) / (1 + (away_s / NEAR_S) ** 2)
        if end - start >= 2 and value > weight:
            best, weight = (start, end), value
    if best:
        return best
    near = round(NEAR_S / WINDOW_S)
    first, last = max(low, earliest - near), min(high, latest + near + 1)
    if last <= first:
        return earliest, earliest
    at = first + int(np.argmin(_around(heard.power, np.arange(first, last), 1)))
    return at, at


def _runs(mask: NDArray[np.bool_], joined_s: float, low: int = 0, high: int | None = None) -> list[tuple[int, int]]:
    """Return where a mask is true, from and to which window; runs that touch [low, high) whole, near ones as one."""
    bounds = np.flatnonzero(np.diff(mask[_before(mask, low) : _behind(mask, high)], prepend=False, append=False))
    runs: list[tuple[int, int]] = []
    for start, end in (bounds.reshape(-1, 2) + _before(mask, low)).tolist():
        if runs and (start - runs[-1][1]) * WINDOW_S < joined_s:
            runs[-1] = runs[-1][0], end
        else:
            runs.append((start, end))
    return runs


def _before(mask: NDArray[np.bool_], low: int) -> int:
    """Return where the run begins that goes on at a window."""
    ends = np.flatnonzero(~mask[max(0, low - 2000) : low])
    return (max(0, low - 2000) + int(ends[-1]) + 1) if len(ends) else max(0, low - 2000)


def _behind(mask: NDArray[np.bool_], high: int | None) -> int:
    if high is None:
        return len(mask)
    ends = np.flatnonzero(~mask[high : high + 2000])
    return high + int(ends[0]) if len(ends) else min(high + 2000, len(mask))


def _joined(units: Sequence[_Unit], heard: Heard, config: SegmentConfig) -> Iterator[Piece]:
    """Yield the pieces of units, neighbours joined."""
    pad = ceil(config.pad_ms / 1000 / WINDOW_S)
    piece: Piece | None = None
    for unit in units:
        if unit.first == unit.last:
            yield Piece(unit.start, unit.end, unit.texts)
            continue
        following = Piece(unit.first, unit.last, unit.texts)
        if piece is None:
            piece = following
        elif _belong_together(piece, following, heard, pad, config):
            piece = Piece(piece.start, following.end, piece.texts + following.texts)
        else:
            yield piece
            piece = following
    if piece is not None:
        yield piece


def _belong_together(piece: Piece, following: Piece, heard: Heard, pad: int, config: SegmentConfig) -> bool:
    if piece.texts[-1].speaker != following.texts[0].speaker or heard.speech[piece.end : following.start].any():
        return False
    pause_s = (following.start - piece.end) * WINDOW_S
    shorter_s = (min(piece.end - piece.start, following.end - following.start) + 2 * pad) * WINDOW_S
    both_s = (following.end - piece.start + 2 * pad) * WINDOW_S
    if pause_s < BREATH_S or (shorter_s < config.min_s and pause_s < STRAY_PAUSE_S):
        return both_s <= config.max_s
    return pause_s < JOIN_PAUSE_S and both_s <= config.target_s


def _cut(piece: Piece, heard: Heard, config: SegmentConfig) -> Iterator[Piece]:
    """Yield a piece, or the parts of one that is too long, cut at its deepest pauses from target_s or the middle on."""
    pad = ceil(config.pad_ms / 1000 / WINDOW_S)
    longest = max(int(config.max_s / WINDOW_S) - 2 * pad, 2)
    start, is_part = piece.start, piece.end - piece.start > longest
    while piece.end - start > longest:
        first = start + max(1, min(longest // 2, round(config.target_s / WINDOW_S) - pad))
        places = np.arange(first, min(start + longest, piece.end - 1) + 1)
        depth = _around(heard.probabilities, places, max(1, ceil(config.min_pause_ms / 2000 / WINDOW_S)))
        if depth.min() >= config.speech_threshold:
            depth = _around(heard.power, places, 1)
        at = int(places[np.argmin(depth)])
        if span := heard.span(start, at):
            yield replace(piece, start=span[0], end=span[1], is_part=True)
        start = at
    if span := heard.span(start, piece.end):
        yield replace(piece, start=span[0], end=span[1], is_part=is_part)
    elif not is_part:
        yield piece


def _around(values: NDArray[np.floating], places: NDArray[np.int_], reach: int) -> NDArray[np.float64]:
    """Return the mean of values around places that follow each other, without a look at those far away."""
    first = max(0, int(places[0]) - reach)
    return mean_around(values[first : int(places[-1]) + reach], places - first, reach)


def _with_room(pieces: Sequence[Piece], n_windows: int, config: SegmentConfig) -> list[Piece]:
    """Return the pieces with the bounds of what they may take: of a pause between two, each has its half."""
    room = ceil((config.pad_ms / 1000 + REACH_S + 1 / GRID_HZ) / WINDOW_S)
    ends = np.maximum.accumulate([0, *(piece.end for piece in pieces)])
    placed = []
    for number, piece in enumerate(pieces):
        before = (piece.start - int(ends[number])) // 2 if number else piece.start
        after = pieces[number + 1].start - piece.end if number + 1 < len(pieces) else 2 * (n_windows - piece.end)
        low, high = piece.start - min(room, max(0, before)), piece.end + min(room, max(0, after // 2))
        placed.append(replace(piece, low=low, high=high))
    return placed
