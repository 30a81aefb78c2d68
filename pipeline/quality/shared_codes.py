"""Codes that two fingerprints share: each is a vote for how the two clips lie against each other in time.

The codes of all clips are sorted into parts on disk by a hash, and each part is sorted in memory. DuckDB's window over
the same table was tried in its place: of 20,000 clips of 5 s it alone took 8.7 s of CPU and 251 MiB where the whole
search takes 6.5 s and 243 MiB, and of 100,000 clips it ran out of its limit of 256 MB.
"""

from collections.abc import Iterator
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.quality.alignment import MIN_OVERLAP
from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile, PartitionedFile

MAX_NEXT = 16  # clips with the same code that one is compared with, so that a common code costs linear time

# What is in memory at once; no result depends on these.
PART = 2**20  # frames whose codes are looked up together, on average
CHUNK = 2**18  # of these, that are paired with their next, and of such pairs
ODD = np.uint64(0x9E3779B1)  # times this, modulo 2**32, codes that are alike go to different parts


def votes(clips: FingerprintFile) -> Iterator[NDArray[np.int64]]:
    """Yield where the overlap of two clips begins in the earlier and in the later, once for each code they share.

    Overlaps that are too short for the audible frames of either clip are left out.
    Shapes: -> (2, N) each time, in frames from the beginning of the file.
    """
    bits = (int(clips.starts[-1]) // PART).bit_length()  # of a code, that tell its part
    with TemporaryFile() as file:
        parts = PartitionedFile(file, 2**bits)
        _partition(clips, parts, bits)
        for part in range(2**bits):
            yield from _pairs(clips, parts.read(part), bits)


def _partition(clips: FingerprintFile, parts: PartitionedFile, bits: int) -> None:
    """Sort hashed codes and their positions into parts, packed as code << (32 + bits) | position."""
    end, last = int(clips.starts[-1]), np.uint32(0)
    for begin in range(0, end, PART):
        codes = clips.read(begin, min(begin + PART, end))
        # neighbouring frames overlap by 96 % and repeat their code; the first of such a run is enough
        positions = np.flatnonzero((codes != np.concatenate(([last], codes[:-1]))) & (codes > 0))
        hashed = codes[positions] * ODD & np.uint64(0xFFFFFFFF)
        packed = hashed << np.uint64(32 + bits) | (begin + positions).astype(np.uint64)
        parts.add((hashed >> np.uint64(32 - bits)).astype(np.int64), packed)
        last = codes[-1]


def _pairs(clips: FingerprintFile, packed: NDArray[np.uint64], bits: int) -> Iterator[NDArray[np.int64]]:
    """Pair each code of one part with the next ones that equal it, as `votes`."""
    starts, shift = clips.starts, np.uint64(32 + bits)
    low = (np.uint64(1) << shift) - np.uint64(1)
    at = (packed & low).astype(np.int64)
    clip = np.searchsorted(starts, at, side="right") - 1
    codes = packed & ~low | np.arange(len(packed), dtype=np.uint64)
    del packed
    codes.sort()
    order = (codes & low).astype(np.int64)
    codes >>= shift
    before = (at - starts[clip])[order]
    after = (starts[clip + 1] - at)[order]
    needed = (MIN_OVERLAP * clips.audible[clip])[order]
    at = at[order]
    del clip, order
    for begin in range(0, len(codes), CHUNK):
        pairs = []
        for step in range(1, MAX_NEXT + 1):
            later = codes[begin + step : begin + step + CHUNK]
            i = begin + np.flatnonzero(later == codes[begin : begin + len(later)])
            j = i + step
            lead = np.minimum(before[i], before[j])
            width = lead + np.minimum(after[i], after[j])
            fits = (width >= needed[i]) & (width >= needed[j]) & (at[i] - before[i] != at[j] - before[j])
            pairs.append(np.stack((at[i] - lead, at[j] - lead))[:, fits])
        yield np.concatenate(pairs, axis=1)
