"""Windows of many clips through a network that ends in a global maximum, side by side on a device."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clean_corpus.pipeline.quality import device as devices
from clean_corpus.pipeline.quality.onnx_torch import OnnxNetwork
from clean_corpus.pipeline.quality.shared_trunk import EDGE, END, FRAMES, REACH, STRIDE, Array, Stretch

PIECE = 600  # frames through the trunk in one row
BUCKET = 60  # frames: rows of a batch differ in length by less
FRAMES_AT_ONCE = 4800  # through the trunk, whose activations take 0.8 GB
WINDOWS_AT_ONCE = 64  # through the head


class _Piece(NamedTuple):
    """A row of frames, and those of its outputs that count: all that its ends do not reach."""

    frames: Array
    wanted: range


class BatchedTrunk:
    """Run what `SharedTrunk` runs, for many clips at a time: rows of like length are a batch.

    Rows are padded with silent frames, so no output counts that the end of a row reaches; where a window ends, its own
    last frames are a row. `trunk` and `head` are the bytes of ONNX networks.
    Shapes: stretches with W windows in all -> (W, scores), on the device.
    """

    def __init__(self, trunk: bytes, head: bytes, *, device: str, frames_at_once: int = FRAMES_AT_ONCE) -> None:
        self._device, self._frames_at_once = device, frames_at_once
        self._trunk, self._head = (OnnxNetwork(part).eval().to(device) for part in (trunk, head))

    def __call__(self, stretches: Sequence[Stretch]) -> Tensor:
        pieces: list[_Piece] = []
        at: list[NDArray[np.int64]] = []
        n_outputs = 0
        for stretch in stretches:
            some = list(_pieces(stretch))
            at.append(n_outputs + _outputs_of_windows(stretch))
            pieces += some
            n_outputs += sum(len(piece.wanted) for piece in some)
        with devices.full_precision():
            return self._heads(self._outputs(pieces), np.concatenate(at))

    def _outputs(self, pieces: Sequence[_Piece]) -> Tensor:
        """Return the outputs of the trunk that count, in the order of the pieces; shapes: -> (outputs, C, K)."""
        ends = np.cumsum([0, *(len(piece.wanted) for piece in pieces)])
        table: Tensor | None = None
        for batch in _batches([len(piece.frames) for piece in pieces], self._frames_at_once):
            found = self._trunk(devices.padded([pieces[i].frames for i in batch], self._device))  # (B, C, T/4, K)
            length = found.shape[2]
            wanted = [row * length + np.array(pieces[i].wanted) for row, i in enumerate(batch)]
            places = [np.arange(ends[i], ends[i + 1]) for i in batch]
            rows = found.transpose(1, 2).flatten(0, 1)[devices.moved(np.concatenate(wanted), self._device)]
            if table is None:
                table = rows.new_empty(int(ends[-1]), *rows.shape[1:])
            table[devices.moved(np.concatenate(places), self._device)] = rows
        return torch.empty(0) if table is None else table

    def _heads(self, outputs: Tensor, at: NDArray[np.int64]) -> Tensor:
        """Run the head over windows, given where the outputs of each are; shapes: at (W, FRAMES / 4) -> (W, scores)."""
        edges = [*range(0, len(at), WINDOWS_AT_ONCE), len(at)]
        parts = [outputs[devices.moved(at[begin:end], self._device)] for begin, end in pairwise(edges)]
        return torch.cat([self._head(part.permute(0, 2, 1, 3)) for part in parts])  # of (W, T/4, C, K)


def _pieces(stretch: Stretch) -> Iterator[_Piece]:
    """Yield the rows of a stretch, in turn its frames, the heads of all windows but the first, and all tails.

    Of its frames the outputs at its own end are left out, those at its beginning are the first window's.
    """
    frames = stretch.frames[: stretch.period + END]
    end = len(frames) // STRIDE - EDGE
    for start in range(0, end, PIECE // STRIDE):
        before, stop = min(start, EDGE), min(start + PIECE // STRIDE, end)
        piece = frames[(start - before) * STRIDE : stop * STRIDE + REACH]
        yield _Piece(piece, range(before, before + stop - start))
    for head in stretch.heads[1:]:
        yield _Piece(head, range(EDGE))
    for tail in stretch.tails:
        yield _Piece(tail, range(EDGE, 2 * EDGE))


def _outputs_of_windows(stretch: Stretch) -> NDArray[np.int64]:
    """Return where each window's outputs are among those of the pieces; shapes: -> (W, FRAMES / 4)."""
    windows = len(stretch.first)
    inner = min(len(stretch.frames), stretch.period + END) // STRIDE - EDGE
    at = (stretch.first[:, None] + np.arange(0, FRAMES, STRIDE)) // STRIDE
    at = EDGE + np.maximum(at - EDGE, 0) % (stretch.period // STRIDE)
    at[0, :EDGE] = np.arange(EDGE)
    at[1:, :EDGE] = inner + np.arange((windows - 1) * EDGE).reshape(-1, EDGE)
    at[:, -EDGE:] = inner + (windows - 1) * EDGE + np.arange(windows * EDGE).reshape(-1, EDGE)
    return at


def _batches(lengths: Sequence[int], frames_at_once: int) -> Iterator[list[int]]:
    """Yield the numbers of rows that lie in the same bucket of lengths, the longest rows first.

    >>> list(_batches([24, 130, 24, 150, 24], 300))
    [[3, 1], [0, 2, 4]]
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        is_full = batch and lengths[batch[0]] * (len(batch) + 1) > frames_at_once
        if is_full or (batch and lengths[batch[0]] // BUCKET != lengths[number] // BUCKET):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
