"""Fingerprints laid against each other: which clips are alike where they overlap, bit by bit."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile

MIN_FRAMES = 32  # frames compared, at least
MIN_OVERLAP = 0.75  # of the audible frames of either clip; a window reaches beyond the end of its sound
STRETCH = 32  # frames, 0.38 s: a word; in copies with noise at 20 dB none has more than a quarter of its bits wrong
MAX_OFFSETS = 3  # alignments tried per pair
CHANCE = 0.43  # most pairs of clips have more wrong bits than this share
BATCH = 2**17  # frames of the overlaps that are compared together; no result depends on it


class Block:
    """Hold some clips in memory: where each starts in the block, and the audible frames before each frame."""

    def __init__(self, clips: FingerprintFile, first: int, end: int) -> None:
        starts = clips.starts[first : end + 1]
        self.first = first
        self.starts = starts - starts[0]
        self.needed = MIN_OVERLAP * clips.audible[first:end]
        self.codes = clips.read(int(starts[0]), int(starts[-1]), padding=clips.longest)
        self.audible_before = np.zeros(self.starts[-1] + 1, np.int32)
        np.cumsum(self.codes[: self.starts[-1]] > 0, out=self.audible_before[1:])


def similar_clips(
    a: Block, b: Block, at_a: NDArray[np.int64], at_b: NDArray[np.int64], max_bit_error: float
) -> Iterator[tuple[float, int, int, int]]:
    """Yield (bit error rate, earlier, later, offset) of the clips of two blocks that are alike.

    Frame t of the earlier one sounds as frame t + offset of the later one.

    Shapes: at_a, at_b (N,), sorted; where an overlap begins in each block, once for each vote.
    """
    new = np.flatnonzero(np.concatenate(([True], (at_a[1:] != at_a[:-1]) | (at_b[1:] != at_b[:-1]))))
    count = np.diff(new, append=len(at_a))
    at_a, at_b = at_a[new], at_b[new]
    i = np.searchsorted(a.starts, at_a, side="right") - 1
    j = np.searchsorted(b.starts, at_b, side="right") - 1
    width = np.minimum(a.starts[i + 1] - at_a, b.starts[j + 1] - at_b)
    fits = a.audible_before[at_a + width] - a.audible_before[at_a] >= a.needed[i]
    fits &= b.audible_before[at_b + width] - b.audible_before[at_b] >= b.needed[j]
    i, j, at_a, at_b, width, count = (x[fits] for x in (i, j, at_a, at_b, width, count))
    offset = (at_b - b.starts[j]) - (at_a - a.starts[i])
    most = _with_most_votes(i * len(b.starts) + j, offset, count)
    i, j, at_a, at_b, width, offset = (x[most] for x in (i, j, at_a, at_b, width, offset))
    # chance gets half of the bits wrong, so that most pairs are told apart before the end
    begin = np.ceil(width * min(1.0, max_bit_error / CHANCE)).astype(np.int64)
    wrong, audible = _compared(a.codes, b.codes, at_a, at_b, begin)
    still = np.flatnonzero(wrong <= 32 * max_bit_error * (audible + width - begin) + 1)  # 1: what float may round off
    at_a, at_b, width = (at_a + begin)[still], (at_b + begin)[still], (width - begin)[still]
    wrong_then, audible_then = _compared(a.codes, b.codes, at_a, at_b, width)
    wrong, audible = wrong[still] + wrong_then, audible[still] + audible_then
    bit_error = wrong / (32 * np.maximum(audible, 1))
    alike = (audible >= MIN_FRAMES) & (bit_error <= max_bit_error)
    found = (bit_error, a.first + i[still], b.first + j[still], offset[still])
    yield from zip(*(x[alike].tolist() for x in found), strict=True)


def worst_stretch(a: NDArray[np.uint32], b: NDArray[np.uint32], offset: int) -> float:
    """Return the highest bit error rate of any STRETCH frames of two clips that are mostly audible in both.

    Frame t of the first clip is laid against frame t + offset of the second; 0 if they have no such stretch.
    Shapes: a (T,), b (U,).
    """
    begin, end = max(0, -offset), min(len(a), len(b) - offset)
    if end - begin < STRETCH:
        return 0.0
    x, y = a[begin:end], b[begin + offset : end + offset]
    both = (x > 0) & (y > 0)
    wrong, audible = (
        np.cumsum(np.pad(counts, (1, 0)), dtype=np.int64) for counts in (np.bitwise_count(x ^ y) * both, both)
    )
    wrong, audible = wrong[STRETCH:] - wrong[:-STRETCH], audible[STRETCH:] - audible[:-STRETCH]
    return float(np.max(wrong / (32 * np.maximum(audible, 1)), where=audible >= 0.75 * STRETCH, initial=0.0))


def _with_most_votes(pair: NDArray[np.int64], offset: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which alignments are among the MAX_OFFSETS of their pair with most votes; of equal ones the first.

    Shapes: (N,) each -> (N,).
    """
    most = np.ones(len(pair), np.bool_)
    ordered = np.sort(pair)
    crowded = ordered[MAX_OFFSETS:][ordered[MAX_OFFSETS:] == ordered[:-MAX_OFFSETS]]
    which = np.flatnonzero(np.isin(pair, crowded))
    which = which[np.lexsort((offset[which], -count[which], pair[which]))]
    most[which[MAX_OFFSETS:]] = pair[which[MAX_OFFSETS:]] != pair[which[:-MAX_OFFSETS]]
    return most


def _compared(
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    at_a: NDArray[np.int64],
    at_b: NDArray[np.int64],
    width: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the bits that differ in overlaps a[at_a :][:width] and b[at_b :][:width], and the frames audible in both.

    Shapes: at_a, at_b, width (N,) -> (N,), (N,); a and b reach the greatest width beyond each overlap's begin.
    """
    wrong, audible = np.zeros((2, len(width)), np.int64)
    # widest first; of about the same width, neighbours in the block stay neighbours
    order = np.argsort(np.minimum(width // 16, 2**16 - 1).astype(np.uint16), kind="stable")[::-1]
    begin = 0
    while begin < len(order):
        rows = order[begin : begin + max(1, BATCH // (int(width[order[begin]]) + 16))]
        begin += len(rows)
        widest = int(width[rows].max())
        x = np.ndarray((len(a) - widest + 1, widest), np.uint32, a.data, strides=(4, 4))[at_a[rows]]
        y = np.ndarray((len(b) - widest + 1, widest), np.uint32, b.data, strides=(4, 4))[at_b[rows]]
        both = (x > 0) & (y > 0)
        narrowest = int(width[rows].min())
        both[:, narrowest:] &= np.arange(narrowest, widest) < width[rows, np.newaxis]
        x ^= y
        bits = np.bitwise_count(x)
        bits *= both
        sums = np.uint16 if widest < 2**11 else np.uint32
        wrong[rows] = np.einsum("bt->b", bits, dtype=sums)
        audible[rows] = np.einsum("bt->b", both.view(np.uint8), dtype=sums)
    return wrong, audible
