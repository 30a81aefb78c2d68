"""A stream cut into pieces of one length, so that what is measured does not depend on how it was read."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]


class Pieces:
    """Frames (N, C) that come in parts of any length, handed on in pieces of `length`, the last one shorter."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._held: list[Frames] = []
        self._n_held = 0

    def push(self, frames: Frames) -> Iterator[Frames]:
        """Yield the pieces that these frames complete.

        Shapes: frames (N, C) -> (length, C) each.
        """
        self._held.append(frames)
        self._n_held += len(frames)
        if self._n_held >= self._length:
            joined = np.concatenate(self._held)
            whole = len(joined) // self._length * self._length
            self._held, self._n_held = [joined[whole:]], len(joined) - whole
            for first in range(0, whole, self._length):
                yield joined[first : first + self._length]

    def flush(self) -> Iterator[Frames]:
        """Yield what is left, if anything is."""
        if self._n_held:
            yield np.concatenate(self._held)
        self._held, self._n_held = [], 0
