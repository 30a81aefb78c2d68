"""Windows of a clip through a network that ends in a global maximum; what they have in common is computed once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FRAMES = 900  # per window, of both networks of DNSMOS
STRIDE = 4  # frames per trunk output
EDGE = 3  # trunk outputs at each end of a window that its zero padding reaches
REACH = EDGE * STRIDE  # frames around a stretch that make up for its zero padding
END = 2 * REACH  # frames that the outputs at one end of a window take
FRAMES_AT_ONCE = 300  # through the trunk, whose activations they hold below 50 MB


class Stretch(NamedTuple):
    """Frames that several windows have in common, which begin at some frames of it, the first one at 0.

    Nothing is needed of `frames` beyond REACH frames after the first `period`, after which they repeat themselves;
    `heads` and `tails` are the first and the last END frames of each window. The frame of a stretch that is the first
    or last of a window may be another than that of `heads` and `tails`.
    Shapes: frames (T, F), first (W,) and period multiples of STRIDE, heads and tails (W, END, F).
    """

    frames: Array
    first: NDArray[np.int64]
    heads: Array
    tails: Array
    period: int


class SharedTrunk:
    """Run a network over windows that overlap, or that repeat a period, without computing anything twice.

    The network is convolutions, a global maximum and a few dense layers. Everything up to its last convolution (the
    trunk) runs once for all windows, and once per period. Only the frames at both ends of a window, which its zero
    padding reaches, are computed for it, and of the first and the last window not even these: the stretch begins and
    ends with them.

    `trunk` maps frames (B, T, F) to (B, C, T / 4, K), `head` the trunk's outputs of a window to (1, scores).
    """

    def __init__(self, trunk: Callable[[Array], Array], head: Callable[[Array], Array]) -> None:
        self._trunk, self._head = trunk, head

    def __call__(self, stretch: Stretch) -> Array:
        """Return the network's output for the windows of a stretch; shapes: -> (W, scores)."""
        frames, first, heads, tails, period = stretch
        frames = frames[: period + END]
        ends_with_last = len(frames) == first[-1] + FRAMES
        shared = self._stretch(frames)
        # outputs of the first EDGE are those of the first window; every other one is found a period later
        at = (first[:, None] + np.arange(0, FRAMES, STRIDE)) // STRIDE
        at = EDGE + np.maximum(at - EDGE, 0) % (period // STRIDE)
        own_heads = self._ends(heads[1:])[:, :, :EDGE]
        own_tails = self._ends(tails[:-1] if ends_with_last else tails)[:, :, -EDGE:]
        outputs = []
        for number, inner in enumerate(at):
            window = np.take(shared, inner, axis=1)
            window[:, :EDGE] = own_heads[number - 1] if number else shared[:, :EDGE]
            window[:, -EDGE:] = own_tails[number] if number < len(own_tails) else shared[:, -EDGE:]
            outputs.append(self._head(window[None]))
        return np.concatenate(outputs)

    def _stretch(self, frames: Array) -> Array:
        """Run the trunk over any number of frames, one piece after the other, each with REACH frames around it.

        Shapes: (T, F) -> (C, T/4, K).
        """
        parts = []
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            before = min(start, REACH)
            piece = frames[start - before : start + FRAMES_AT_ONCE + REACH]
            wanted = slice(before // STRIDE, (before + FRAMES_AT_ONCE) // STRIDE)
            parts.append(self._trunk(np.ascontiguousarray(piece[None]))[0][:, wanted])
        return np.concatenate(parts, axis=1)

    def _ends(self, frames: Array) -> Array:
        """Run the trunk over ends of windows; shapes (W, END, F) -> (W, C, END / 4, K)."""
        at_once = FRAMES_AT_ONCE // END
        pieces = (frames[i : i + at_once] for i in range(0, len(frames), at_once))
        outputs = [self._trunk(np.ascontiguousarray(piece)) for piece in pieces]
        return np.concatenate(outputs) if outputs else np.empty((0, 0, 0, 0), np.float32)
