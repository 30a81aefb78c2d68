"""Fingerprints of more clips than memory holds, in files without a name, and numbers sorted into parts on disk."""

from array import array
from io import BufferedRandom

import numpy as np
from numpy.typing import NDArray


class FingerprintFile:
    """Hold fingerprints one behind the other in a file; of each, memory holds its start and its audible frames."""

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self._starts = array("q", [0])
        self._audible = array("I")
        self.longest = 0

    def add(self, codes: NDArray[np.uint32]) -> int:
        """Append a fingerprint and return its number, from 0."""
        self._file.write(codes.astype(np.uint32).data)
        self._starts.append(self._starts[-1] + len(codes))
        self._audible.append(int(np.count_nonzero(codes)))
        self.longest = max(self.longest, len(codes))
        return len(self._audible) - 1

    @property
    def starts(self) -> NDArray[np.int64]:
        """The frame at which each clip begins, counted from the beginning of the file, and the end of the last one.

        Shapes: (clips + 1,).
        """
        return np.frombuffer(self._starts, np.int64)

    @property
    def audible(self) -> NDArray[np.uintc]:
        """The number of frames of each clip that have energy.

        Shapes: (clips,).
        """
        return np.frombuffer(self._audible, np.uintc)

    def read(self, begin: int, end: int, *, padding: int = 0) -> NDArray[np.uint32]:
        """Read codes by their position in the file, with silence behind them.

        Shapes: -> (end - begin + padding,).
        """
        codes = np.zeros(end - begin + padding, np.uint32)
        self._file.seek(4 * begin)
        self._file.readinto(codes[: end - begin].data)
        return codes

    def codes(self, number: int) -> NDArray[np.uint32]:
        """Read the fingerprint of a clip.

        Shapes: -> (T,).
        """
        return self.read(int(self.starts[number]), int(self.starts[number + 1]))


class PartitionedFile:
    """Hold numbers that are written in any order, and read one part after the other."""

    def __init__(self, file: BufferedRandom, n_parts: int) -> None:
        self._file, self._n_parts = file, n_parts
        self._added: list[tuple[int, NDArray[np.uint32]]] = []  # where each lot begins, and its parts within it
        self._end = 0

    def add(self, part: NDArray[np.int64], values: NDArray[np.uint64]) -> None:
        """Append values, each to its part.

        Shapes: part, values (N,).
        """
        short = part.astype(np.min_scalar_type(self._n_parts))  # up to 16 bits are sorted in linear time
        self._file.write(values[np.argsort(short, kind="stable")].data)
        starts = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=self._n_parts))))
        self._added.append((self._end, starts.astype(np.uint32)))
        self._end += len(values)

    def read(self, part: int) -> NDArray[np.uint64]:
        """Read the values of one part, in the order in which they were added.

        Shapes: -> (N,).
        """
        values = np.empty(sum(int(starts[part + 1] - starts[part]) for _, starts in self._added), np.uint64)
        filled = 0
        for begin, starts in self._added:
            size = int(starts[part + 1] - starts[part])
            self._file.seek(8 * (begin + int(starts[part])))
            self._file.readinto(values[filled : filled + size].data)
            filled += size
        return values


def cuts(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return where to cut a row of things so that each piece holds about `size`, or one larger thing; none is empty.

    Shapes: starts (N + 1,), from 0 and with the end -> (pieces + 1,), from 0 to N.

    >>> cuts(np.array([0, 3, 6, 9, 29, 30, 30]), 5).tolist()
    [0, 2, 4, 6]
    """
    found = np.unique(np.searchsorted(starts, np.arange(0, starts[-1], size)))
    return np.append(found[starts[found] < starts[-1]], len(starts) - 1)
