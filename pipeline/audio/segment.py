"""Long recordings cut at pauses into utterances, as a stream, so that hours of audio never lie in memory."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.edges import GRID_HZ, REACH_S, find_edges
from clean_corpus.pipeline.audio.pauses import shortened
from clean_corpus.pipeline.audio.voice_activity import WINDOW_S, SpeechDetector, hysteresis, speech_mask, speech_s
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Audio

BLOCK_S = 4.0
SENTENCE_PAUSE_S = 0.5  # regions closer than this stay one utterance: a comma, not a full stop
JOIN_PAUSE_S = 0.8  # ... or closer than this as long as both together stay within target_s
STRAY_PAUSE_S = 2.0  # ... or closer than this if one of them is too short to stand alone
BLIP_S = 0.1  # no word is as short


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording, from sample `start` of it, with `speech_s` seconds of speech.

    The speech lies between the samples `speech_start` and `speech_end` of it, if there is any. `removed` says what of
    the recording was taken out of its pauses: first sample behind `start`, and number of samples, each.
    """

    start: int
    samples: Audio
    speech_s: float
    speech_start: int
    speech_end: int
    removed: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int:
        """The sample of the recording behind its last one."""
        return self.start + len(self.samples) + sum(length for _, length in self.removed)


Loudened = Callable[[int, Audio], Audio]
"""(first sample, stretch of the recording from there on) -> the same at the level at which voices are looked for."""


def as_it_is(_: int, x: Audio) -> Audio:
    """Return a stretch at the level that it has."""
    return x


def utterances(
    blocks: Iterable[Audio], config: SegmentConfig, *, sample_rate: int, loudened: Loudened = as_it_is
) -> Iterator[Utterance]:
    """Yield a recording of at most max_s in one piece, or a longer one cut at its pauses, trimmed to its speech.

    At most about max_s + min_s and one block are in memory. The cuts do not depend on the sizes of the blocks.
    Utterances are in order, do not overlap and are at most max_s long; one under min_s had no neighbour to join. A
    recording in one piece stays as it is if it holds no speech, or without `trim`.
    They have the level of the blocks; `loudened` is for the detector alone.

    Shapes: blocks (N_i,) each, in turn, at sample_rate.
    Raises: ConfigError if max_s leaves no room for speech between the paddings.
    """
    segmenter = _Segmenter(config, sample_rate, loudened)
    blocks = equal_blocks(blocks, int(BLOCK_S * sample_rate))
    head = [np.zeros(0, np.float32)]
    while (length := sum(map(len, head))) <= config.max_s * sample_rate:
        if (block := next(blocks, None)) is None:
            if length:
                whole = np.concatenate(head)
                speech = speech_mask(loudened(0, whole), config.speech_threshold, sample_rate=sample_rate)
                yield _whole(whole, speech, config, sample_rate)
            return
        head.append(block)
    for block in itertools.chain(head, blocks):
        yield from segmenter.push(block)
    yield from segmenter.finish()


def _whole(x: Audio, speech: NDArray[np.bool_], config: SegmentConfig, sample_rate: int) -> Utterance:
    """Return a recording in one piece."""
    if not speech.any():
        return Utterance(0, x, 0.0, len(x), 0)
    if config.trim:
        return trimmed(x, _without_blips(speech), config, sample_rate=sample_rate, min_s=config.min_s)
    edges = find_edges(x, speech, pad_s=0, max_s=config.max_s, sample_rate=sample_rate)
    return Utterance(0, x, speech_s(speech), edges.speech_start, edges.speech_end)


def _without_blips(speech: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which windows are speech without clicks far before the first and behind the last word.

    >>> _without_blips(np.array([True] + 20 * [False] + 5 * [True])).nonzero()[0].tolist()
    [21, 22, 23, 24, 25]
    """
    bounds = np.flatnonzero(np.diff(speech, prepend=False, append=False)).reshape(-1, 2).tolist()
    while len(bounds) > 1 and _is_blip(*bounds[0]) and (bounds[1][0] - bounds[0][1]) * WINDOW_S > SENTENCE_PAUSE_S:
        bounds = bounds[1:]
    while len(bounds) > 1 and _is_blip(*bounds[-1]) and (bounds[-1][0] - bounds[-2][1]) * WINDOW_S > SENTENCE_PAUSE_S:
        bounds = bounds[:-1]
    cleared = speech.copy()
    cleared[: bounds[0][0]] = cleared[bounds[-1][1] :] = False
    return cleared


def _is_blip(start: int, end: int) -> bool:
    return (end - start) * WINDOW_S < BLIP_S


def trimmed(
    x: Audio, speech: NDArray[np.bool_], config: SegmentConfig, *, sample_rate: int, start: int = 0, min_s: float = 0.0
) -> Utterance:
    """Return the utterance in a stretch that begins at sample `start` of the recording, long pauses shortened.

    One shorter than `min_s` keeps more of the silence around it.

    Shapes: x (N,), speech (T,) windows from its first sample on.
    """
    hop = WINDOW_S * sample_rate
    pad_s = config.pad_ms / 1000
    edges = find_edges(x, speech, pad_s=pad_s, min_s=min_s, max_s=config.max_s, sample_rate=sample_rate)
    samples, removed = x[edges.start : edges.end].copy(), ()
    inside = speech[int(edges.start // hop) : ceil(edges.end / hop)]
    if config.max_pause_s is not None:
        samples, removed = shortened(x, speech, hop, max_pause_s=config.max_pause_s, sample_rate=sample_rate)
        taken = sum(length for _, length in removed)
        samples = samples[edges.start : edges.end - taken].copy()
        removed = tuple((first - edges.start, length) for first, length in removed)
    first, last = edges.speech_start - edges.start, len(samples) - (edges.end - edges.speech_end)
    return Utterance(start + edges.start, samples, speech_s(inside), first, last, removed)


def equal_blocks(blocks: Iterable[Audio], size: int) -> Iterator[Audio]:
    """Yield the same samples in blocks of `size`, so that resampler and network always see the same ones."""
    held: list[Audio] = []
    n_held = 0
    for block in blocks:
        held.append(block)
        n_held += len(block)
        if n_held >= size:
            joined = np.concatenate(held)
            whole = n_held // size * size
            yield from joined[:whole].reshape(-1, size)
            held, n_held = [joined[whole:]], n_held - whole
    if n_held:
        yield np.concatenate(held)


@dataclass
class _Span:
    """Windows [start, end) of the recording."""

    start: int
    end: int


class _Segmenter:
    """Cut a stream: `_region` is the speech that goes on now, `_group` ended regions that more may join.

    All positions are windows since the beginning of the recording, all lengths windows.
    """

    def __init__(self, config: SegmentConfig, sample_rate: int, loudened: Loudened) -> None:
        self._loudened = loudened
        self._detector = SpeechDetector(sample_rate=sample_rate)
        self._threshold = config.speech_threshold
        self._hop = WINDOW_S * sample_rate  # samples per window, a fraction at some rates
        self._config, self._sample_rate = config, sample_rate
        self._pad = ceil(config.pad_ms / 1000 / WINDOW_S)
        self._room = ceil(
            (config.pad_ms / 1000 + REACH_S + 1 / GRID_HZ) / WINDOW_S
        )  # around the speech of an utterance
        self._target = config.target_s / WINDOW_S
        self._pause = ceil(config.min_pause_ms / 1000 / WINDOW_S)
        self._min = ceil(config.min_s / WINDOW_S)
        # one sample less than max_s, since both ends are rounded to a sample
        self._max_speech = int((config.max_s * sample_rate - 1) // self._hop) - 2 * self._pad
        if self._max_speech < 2:
            raise ConfigError(
                f"segment.max_s {config.max_s} s leaves no room for speech between two segment.pad_ms of "
                f"{config.pad_ms} ms; raise max_s or lower pad_ms"
            )
        self._audio = np.zeros(0, np.float32)
        self._audio_start = 0  # samples
        self._probabilities = np.zeros(0, np.float32)
        self._speech = np.zeros(0, np.bool_)
        self._held_from = 0  # the window that audio, probabilities and speech begin with
        self._now = 0
        self._free_from = 0  # first window behind the last utterance
        self._region: _Span | None = None
        self._group: _Span | None = None

    def push(self, block: Audio) -> Iterator[Utterance]:
        loud = self._loudened(self._audio_start + len(self._audio), block)
        self._audio = np.concatenate((self._audio, block))
        yield from self._advance(self._detector.probabilities(loud))
        self._forget()

    def finish(self) -> Iterator[Utterance]:
        yield from self._advance(self._detector.flush())
        if self._region:
            yield from self._close()
        if self._group:
            yield self._emit(self._group, self._room)

    def _advance(self, probabilities: NDArray[np.float32]) -> Iterator[Utterance]:
        speaking = len(self._speech) > 0 and bool(self._speech[-1])
        speech = hysteresis(probabilities, self._threshold, speaking=speaking)
        self._probabilities = np.concatenate((self._probabilities, probabilities))
        self._speech = np.concatenate((self._speech, speech))
        for is_speech in speech.tolist():
            self._now += 1
            if is_speech:
                if self._region is None:
                    self._region = _Span(self._now - 1, self._now)
                self._region.end = self._now
                # the group is not held for a region that has outgrown it
                if self._group and not self._is_stray(self._group) and not self._fits(self._group, self._region):
                    yield from self._emit_group()
                # waits for min_s more, so that what is left after the cut can stand alone
                if self._region.end - self._region.start >= self._max_speech + self._min:
                    yield from self._cut()
            elif self._region and self._now - self._region.end >= self._pause:
                yield from self._close()
            elif self._group and not self._region and self._is_over(self._now - self._group.end):
                yield self._emit(self._group, self._room)
                self._group = None

    def _is_over(self, pause: int) -> bool:
        """Return whether no region after such a pause could join the group or shorten its padding."""
        return pause >= max(STRAY_PAUSE_S / WINDOW_S, 2 * self._room)

    def _is_stray(self, span: _Span) -> bool:
        return self._length(span.start, span.end) < self._min

    def _fits(self, group: _Span, region: _Span) -> bool:
        return region.end - group.start <= self._max_speech

    def _joins(self, group: _Span, region: _Span) -> bool:
        """Return whether two neighbours become one utterance.

        At a short pause they do if it is nearer to the target than the two are, by the logarithm of the lengths.
        """
        pause_s = (region.start - group.end) * WINDOW_S
        if self._is_stray(group) or self._is_stray(region):
            return pause_s < STRAY_PAUSE_S
        one, other, both = (
            self._length(*span)
            for span in ((group.start, group.end), (region.start, region.end), (group.start, region.end))
        )
        if pause_s < SENTENCE_PAUSE_S:
            return self._off(both) <= self._off(one) + self._off(other)
        return pause_s < JOIN_PAUSE_S and both <= self._target

    def _length(self, start: int, end: int) -> int:
        return end - start + 2 * self._pad

    def _off(self, length: int) -> float:
        return log(length / self._target) ** 2

    def _close(self) -> Iterator[Utterance]:
        """End the region: it joins the group, or becomes the next group once the present one is emitted."""
        while self._region.end - self._region.start > self._max_speech:
            yield from self._cut()
        if self._group and self._fits(self._group, self._region) and self._joins(self._group, self._region):
            self._group.end = self._region.end
        else:
            yield from self._emit_group()
            self._group = self._region
        self._region = None

    def _cut(self) -> Iterator[Utterance]:
        """Cut an utterance off a region that is too long, at its deepest pause from target_s or its middle on."""
        if self._group and self._is_stray(self._group) and self._joins(self._group, self._region):
            self._region.start, self._group = self._group.start, None
        yield from self._emit_group()
        first = self._region.start + min(self._max_speech // 2, max(round(self._target) - self._pad, self._min, 1))
        last = max(min(self._region.start + self._max_speech, self._region.end - self._min), first + 1)
        depth = mean_around(self._probabilities, np.arange(first, last) - self._held_from, max(1, self._pause // 2))
        if depth.min() >= self._threshold:  # not even a short pause: the quietest instant
            edges = [self._sample(window) - self._audio_start for window in range(first - 1, last + 1)]
            power = np.add.reduceat(np.square(self._audio[: edges[-1]]), edges[:-1])
            depth = mean_around(power, np.arange(1, len(power)), 1)
        cut = first + int(np.argmin(depth))
        yield self._emit(_Span(self._region.start, cut), 0)
        self._region.start = cut

    def _emit_group(self) -> Iterator[Utterance]:
        """Emit the group without `_region`, which shares the pause between them."""
        if self._group:
            yield self._emit(self._group, min(self._room, (self._region.start - self._group.end) // 2))
            self._group = None

    def _emit(self, span: _Span, room_after: int) -> Utterance:
        first, end = max(self._free_from, span.start - self._room), span.end + room_after
        start = self._sample(first)
        stretch = self._audio[start - self._audio_start : self._sample(end) - self._audio_start]
        speech = self._speech[first - self._held_from : end - self._held_from]
        found = trimmed(stretch, speech, self._config, sample_rate=self._sample_rate, start=start)
        self._free_from = max(ceil(found.end / self._hop), span.end)
        return found

    def _forget(self) -> None:
        """Drop audio and probabilities that no utterance can need any more."""
        waiting = self._group or self._region
        keep = max(self._free_from, (waiting.start if waiting else self._now) - self._room)
        self._probabilities = self._probabilities[keep - self._held_from :]
        self._speech = self._speech[keep - self._held_from :]
        self._audio = self._audio[self._sample(keep) - self._audio_start :]
        self._held_from, self._audio_start = keep, self._sample(keep)

    def _sample(self, window: int) -> int:
        return int(window * self._hop)


def mean_around(values: NDArray[np.float32], at: NDArray[np.int_], reach: int) -> NDArray[np.float64]:
    """Return the mean of values[i - reach : i + reach] for each i of `at`, of fewer values at the ends.

    >>> mean_around(np.float32([1, 2, 3, 4]), np.array([1, 3]), 1).tolist()
    [1.5, 3.5]
    """
    total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach, len(values))
    return (total[high] - total[low]) / (high - low)
