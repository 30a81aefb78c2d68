"""Pieces of a recording on disk: an hour at 16 kHz is 115 MB there, and nothing in memory."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from clean_corpus.pipeline.core.types import Audio

RATE = 16000  # Hz
EDGE_S = 0.02  # two frames: how well the place where two pieces meet is found again
_SCALE = 32767


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording between two pauses, from `start_s` on; samples (N,) at RATE."""

    start_s: float
    samples: Audio


class Spool:
    """Hold pieces in turn, as 16 bits in a file without a name, and give any of them back joined end to end."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        self._starts_s: list[float] = []
        self._lengths: list[int] = []
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, piece: Piece) -> int:
        """Take a piece; return its number."""
        self._file.seek(0, 2)
        self._file.write((np.clip(piece.samples, -1, 1) * np.float32(_SCALE)).astype(np.int16).tobytes())
        self._starts_s.append(piece.start_s)
        self._lengths.append(len(piece.samples))
        return len(self) - 1

    def seconds(self, first: int, last: int) -> float:
        """Return how much audio pieces `first` to `last` hold."""
        return sum(self._lengths[first : last + 1]) / RATE

    def samples(self, first: int, last: int) -> Audio:
        """Return pieces `first` to `last` joined, (N,) at RATE."""
        self._file.seek(2 * sum(self._lengths[:first]))
        data = self._file.read(2 * sum(self._lengths[first : last + 1]))
        return np.frombuffer(data, np.int16).astype(np.float32) / np.float32(_SCALE)

    def in_recording(self, first: int, time_s: float, *, begins: bool) -> float:
        """Return the time in the recording of a time within pieces joined from `first` on.

        Where two pieces meet, what begins there does so in the later one, and what ends there in the earlier one.
        """
        edge_s = -EDGE_S if begins else EDGE_S
        for number in range(first, len(self)):
            length_s = self._lengths[number] / RATE
            if time_s <= length_s + edge_s or number == len(self) - 1:
                return self._starts_s[number] + min(max(time_s, 0.0), length_s)
            time_s -= length_s
        raise IndexError(first)

    def spans(self) -> Iterator[tuple[float, float]]:
        """Yield begin and end of each piece in the recording, seconds."""
        for start_s, length in zip(self._starts_s, self._lengths, strict=True):
            yield start_s, start_s + length / RATE
