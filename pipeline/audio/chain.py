"""Recordings joined end to end in one file, read as one."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from clean_corpus.pipeline.audio.sources import Frames, Source, Truncated
from clean_corpus.pipeline.audio.splice import Part
from clean_corpus.pipeline.core.errors import DataError

OpenPart = Callable[[Part, contextlib.ExitStack], Source]


class ChainedSource:
    """Parts of a file that are read one after the other as one recording, of the rate and channels of the first.

    Where a part has another rate or other channels, or is damaged, the recording fails, and says what is not read.

    Raises: DataError if the first part cannot be opened.
    """

    def __init__(self, parts: Sequence[Part], open_part: OpenPart, stack: contextlib.ExitStack) -> None:
        self._open_part = open_part
        self._parts = iter(parts)
        self._stack = stack.enter_context(contextlib.ExitStack())
        self._problem: str | None = None
        if not self._open_next():
            raise as_error(self._problem or "no samples")
        source = self._source
        self.sample_rate, self.channels, self.format = source.sample_rate, source.channels, source.format
        self.subtype, self.messages = source.subtype, source.messages
        self._measure(parts)

    def _measure(self, parts: Sequence[Part]) -> None:
        """Add up lengths, up to the part that cannot be read on, and note why."""
        self.slack = 0
        self.frames: int | None = 0
        self.frames_at_hand: int | None = 0
        self._readable = 0
        for number, (_, source) in enumerate(self._each(parts)):
            if isinstance(source, DataError):
                self._problem = str(source)
            elif (source.sample_rate, source.channels) != (self.sample_rate, self.channels):
                rest_s = sum(_seconds(other) for _, other in self._each(parts[number:]))
                self._problem = (
                    f"joined: {rest_s:.3f} s of {source.sample_rate} Hz and {source.channels} channels, "
                    f"not {self.sample_rate} Hz and {self.channels}, are not read; split the file there"
                )
            if self._problem:
                self.frames = self.frames_at_hand = None  # reading goes on to the problem, whatever was announced
                return
            self._readable = number + 1
            self.slack += source.slack
            self.frames = _sum(self.frames, source.frames)
            self.frames_at_hand = _sum(self.frames_at_hand, source.frames_at_hand)

    def _each(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Source | DataError]]:
        for part in parts:
            with contextlib.ExitStack() as stack:
                try:
                    if part.problem:
                        raise as_error(part.problem)
                    source: Source | DataError = self._open_part(part, stack)
                except DataError as error:
                    source = error
                yield part, source

    def _open_next(self) -> bool:
        self._stack.close()
        part = next(self._parts, None)
        if part is None or part.problem:
            self._problem = part.problem if part else self._problem
            return False
        self._source = self._open_part(part, self._stack)
        return True

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, see Source.

        Raises: DataError if they cannot be decoded, or the file goes on with what cannot be read.
        """
        while self._readable:
            frames = self._source.read(n_frames)
            if len(frames):
                return frames
            self._readable -= 1
            if self._readable:
                messages = self._source.messages
                self._open_next()
                self.messages = self._source.messages = messages + self._source.messages
        if self._problem:
            raise as_error(self._problem)
        return np.zeros((0, self.channels), np.float32)


def _sum(total: int | None, frames: int | None) -> int | None:
    return None if total is None or frames is None else total + frames


def _seconds(source: Source | DataError) -> float:
    return 0.0 if isinstance(source, DataError) else (source.frames or 0) / source.sample_rate


def as_error(problem: str) -> DataError:
    """Return the error of a part with a problem."""
    return Truncated(problem) if problem.startswith("truncated:") else DataError(problem)
