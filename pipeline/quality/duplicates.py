"""Clips that are the same recording: equal samples, or the same sound re-encoded, re-levelled or trimmed."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedRandom
from itertools import pairwise
from tempfile import TemporaryFile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.config import DedupConfig
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Clip
from clean_corpus.pipeline.quality.fingerprint import from_text

MIN_FRAMES = 32  # frames compared, at least
MIN_OVERLAP = 0.75  # of the frames with energy of either clip; a window reaches beyond the end of its sound
MAX_NEXT = 16  # clips with the same code that one is compared with, so that a common code costs linear time
MAX_OFFSETS = 3  # alignments tried per pair
CHANCE = 0.43  # most pairs of clips have more wrong bits than this share

# What is in memory at once; no result depends on these.
PART = 2**20  # frames whose codes are looked up together, on average
CHUNK = 2**18  # of these, that are paired with their next, and of such pairs
BLOCK = 2**22  # frames of whole clips that are compared with those of another block
BATCH = 2**17  # frames of the overlaps that are compared together
ODD = np.uint64(0x9E3779B1)  # times this, modulo 2**32, codes that are alike go to different parts


@dataclass(frozen=True)
class Duplicate:
    """What a clip is a copy of: the first of its group."""

    of: str
    kind: Literal["duplicate", "near_duplicate"]
    bit_error: float


def find_duplicates(clips: Iterable[tuple[str, str, NDArray[np.uint32]]], config: DedupConfig) -> dict[str, Duplicate]:
    """The clips that repeat an earlier one; the first of each group is not among them.

    A near duplicate of a near duplicate is in the same group; `bit_error` is that to the most similar earlier clip.
    The clips are gone through once. What is known of each lies in files without a name where TMPDIR says, some 12 kB
    for 5 s of speech if there are a million; memory holds 12 bytes a clip, the duplicates, and blocks of fixed size.

    Source: Haitsma & Kalker 2002, section 6: exact codes are looked up, then the aligned blocks compared bit by bit.
    Departs: the overlap must be most of both clips, so that an excerpt is no duplicate.
    Shapes: clips (clip_id, pcm_sha256, fingerprint (T_i,)), in order.
    """
    found: dict[str, Duplicate] = {}
    copies: list[tuple[str, str]] = []
    with scratch_database() as database, TemporaryFile() as file:
        database.execute("CREATE TABLE clip (number INTEGER PRIMARY KEY, clip_id TEXT)")
        database.execute("CREATE TABLE original (digest TEXT PRIMARY KEY, clip_id TEXT) WITHOUT ROWID")
        distinct = _Fingerprints(file)
        for clip_id, digest, codes in clips:
            new = database.execute("INSERT INTO original VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, clip_id))
            if new.rowcount == 0:
                (first,) = database.execute("SELECT clip_id FROM original WHERE digest = ?", (digest,)).fetchone()
                if first != clip_id:
                    copies.append((clip_id, first))
                    continue
            if config.near:
                database.execute("INSERT INTO clip VALUES (?, ?)", (distinct.add(codes), clip_id))

        def name(number: int) -> str:
            (clip_id,) = database.execute("SELECT clip_id FROM clip WHERE number = ?", (number,)).fetchone()
            return str(clip_id)

        nearest: dict[int, tuple[float, int]] = {}
        for earlier, later, bit_error in _similar(distinct, config.max_bit_error):
            nearest[later] = min(nearest.get(later, (bit_error, earlier)), (bit_error, earlier))
        for later in sorted(nearest):
            bit_error, earlier = nearest[later]
            earlier_id = name(earlier)
            of = found[earlier_id].of if earlier_id in found else earlier_id
            found[name(later)] = Duplicate(of, "near_duplicate", bit_error)
    for clip_id, first in copies:
        found[clip_id] = Duplicate(found[first].of if first in found else first, "duplicate", 0.0)
    return found


class _Fingerprints:
    """Fingerprints one behind the other in a file; of each, memory holds its start and its frames with energy."""

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self._starts = array("q", [0])
        self._heard = array("I")
        self.longest = 0

    def add(self, codes: NDArray[np.uint32]) -> int:
        """Its number, from 0."""
        self._file.write(codes.astype(np.uint32).data)
        self._starts.append(self._starts[-1] + len(codes))
        self._heard.append(int(np.count_nonzero(codes)))
        self.longest = max(self.longest, len(codes))
        return len(self._heard) - 1

    @property
    def starts(self) -> NDArray[np.int64]:
        """Shapes: (clips + 1,), in frames; the last is the end of all."""
        return np.frombuffer(self._starts, np.int64)

    @property
    def heard(self) -> NDArray[np.uintc]:
        """Shapes: (clips,), frames with energy."""
        return np.frombuffer(self._heard, np.uintc)

    def read(self, begin: int, end: int, *, padding: int = 0) -> NDArray[np.uint32]:
        """Shapes: (end - begin + padding,), with silence behind."""
        codes = np.zeros(end - begin + padding, np.uint32)
        self._file.seek(4 * begin)
        self._file.readinto(codes[: end - begin].data)
        return codes


class _Parts:
    """Numbers on disk that are written in any order and read one part after the other."""

    def __init__(self, file: BufferedRandom, n_parts: int) -> None:
        self._file, self._n_parts = file, n_parts
        self._added: list[tuple[int, NDArray[np.uint32]]] = []  # where each lot begins, and its parts in it
        self._end = 0

    def add(self, part: NDArray[np.int64], values: NDArray[np.uint64]) -> None:
        """Shapes: part, values (N,)."""
        short = part.astype(np.min_scalar_type(self._n_parts))  # up to 16 bits are sorted in linear time
        self._file.write(values[np.argsort(short, kind="stable")].data)
        starts = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=self._n_parts))))
        self._added.append((self._end, starts.astype(np.uint32)))
        self._end += len(values)

    def read(self, part: int) -> NDArray[np.uint64]:
        """The values of one part, in the order in which they came."""
        values = np.empty(sum(int(starts[part + 1] - starts[part]) for _, starts in self._added), np.uint64)
        done = 0
        for begin, starts in self._added:
            size = int(starts[part + 1] - starts[part])
            self._file.seek(8 * (begin + int(starts[part])))
            self._file.readinto(values[done : done + size].data)
            done += size
        return values


def _similar(clips: _Fingerprints, max_bit_error: float) -> Iterator[tuple[int, int, float]]:
    """(earlier, later, bit error rate) of pairs that share a code where they overlap enough, and are that alike there.

    A pair may come up to MAX_OFFSETS times, once for each alignment.
    """
    starts = clips.starts
    if not starts[-1]:
        return
    edges = _cuts(starts, BLOCK)
    low = np.uint64(64 - int(starts[-1]).bit_length())  # bits of a place in a block, below those of one in the file
    with TemporaryFile() as file:
        votes = _Parts(file, len(edges))
        for earlier, later in _votes(clips):
            block = np.searchsorted(starts[edges], later, side="right") - 1
            place = later - starts[edges[block]]
            votes.add(block, earlier.astype(np.uint64) << low | place.astype(np.uint64))
        for k in range(len(edges) - 1):
            cast = votes.read(k)
            cast.sort()
            ends = np.searchsorted(cast, starts[edges].astype(np.uint64) << low)
            b = _Block(clips, int(edges[k]), int(edges[k + 1]))
            for m in np.flatnonzero(np.diff(ends)):
                a = b if m == k else _Block(clips, int(edges[m]), int(edges[m + 1]))
                of_block = cast[ends[m] : ends[m + 1]]
                of_clip = np.searchsorted(of_block, starts[edges[m] : edges[m + 1] + 1].astype(np.uint64) << low)
                for begin, end in pairwise(of_clip[_cuts(of_clip, CHUNK)]):
                    at_a = (of_block[begin:end] >> low).astype(np.int64) - starts[a.first]
                    at_b = (of_block[begin:end] & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)
                    yield from _alike(a, b, at_a, at_b, max_bit_error)


def _cuts(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Where to cut a row of things so that each piece holds about `size`, or one thing that is larger; none is empty.

    Shapes: starts (N + 1,), from 0 and with the end -> (pieces + 1,), from 0 to N.

    >>> _cuts(np.array([0, 3, 6, 9, 29, 30, 30]), 5).tolist()
    [0, 2, 4, 6]
    """
    cuts = np.unique(np.searchsorted(starts, np.arange(0, starts[-1], size)))
    return np.append(cuts[starts[cuts] < starts[-1]], len(starts) - 1)


def _votes(clips: _Fingerprints) -> Iterator[NDArray[np.int64]]:
    """Where the overlap of two clips begins in the earlier and in the later, once for each code they share there.

    Overlaps that are too short for the energy of either clip are left out.
    Shapes: (2, N) each time, in frames from the beginning of the file.
    """
    starts, heard = clips.starts, clips.heard
    bits = (int(starts[-1]) // PART).bit_length()  # of a code, that tell its part
    shift = np.uint64(32 + bits)
    low = (np.uint64(1) << shift) - np.uint64(1)
    with TemporaryFile() as file:
        parts = _Parts(file, 2**bits)
        last = np.uint32(0)
        for begin in range(0, int(starts[-1]), PART):
            codes = clips.read(begin, min(begin + PART, int(starts[-1])))
            # neighbouring frames overlap by 96 % and repeat their code; the first of such a run is enough
            at = np.flatnonzero((codes != np.concatenate(([last], codes[:-1]))) & (codes > 0))
            hashed = codes[at] * ODD & np.uint64(0xFFFFFFFF)
            parts.add(
                (hashed >> np.uint64(32 - bits)).astype(np.int64), hashed << shift | (begin + at).astype(np.uint64)
            )
            last = codes[-1]
        for part in range(2**bits):
            keys = parts.read(part)
            at = (keys & low).astype(np.int64)
            clip = np.searchsorted(starts, at, side="right") - 1
            keys = keys & ~low | np.arange(len(keys), dtype=np.uint64)
            keys.sort()
            order = (keys & low).astype(np.int64)
            keys >>= shift
            before = (at - starts[clip])[order]
            after = (starts[clip + 1] - at)[order]
            needed = (MIN_OVERLAP * heard[clip])[order]
            at = at[order]
            del clip, order
            for begin in range(0, len(keys), CHUNK):
                pairs = []
                for step in range(1, MAX_NEXT + 1):
                    later = keys[begin + step : begin + step + CHUNK]
                    i = begin + np.flatnonzero(later == keys[begin : begin + len(later)])
                    j = i + step
                    lead = np.minimum(before[i], before[j])
                    width = lead + np.minimum(after[i], after[j])
                    fits = (width >= needed[i]) & (width >= needed[j]) & (at[i] - before[i] != at[j] - before[j])
                    pairs.append(np.stack((at[i] - lead, at[j] - lead))[:, fits])
                yield np.concatenate(pairs, axis=1)


class _Block:
    """Clips in memory: where each starts in the block, and the frames with energy before each frame."""

    def __init__(self, clips: _Fingerprints, first: int, end: int) -> None:
        starts = clips.starts[first : end + 1]
        self.first = first
        self.starts = starts - starts[0]
        self.needed = MIN_OVERLAP * clips.heard[first:end]
        self.codes = clips.read(int(starts[0]), int(starts[-1]), padding=clips.longest)
        self.heard_before = np.zeros(self.starts[-1] + 1, np.int32)
        np.cumsum(self.codes[: self.starts[-1]] > 0, out=self.heard_before[1:])


def _alike(
    a: _Block, b: _Block, at_a: NDArray[np.int64], at_b: NDArray[np.int64], max_bit_error: float
) -> Iterator[tuple[int, int, float]]:
    """(earlier, later, bit error rate) of the clips of two blocks that are alike.

    Shapes: at_a, at_b (N,), sorted; where an overlap begins in each block, once for each vote.
    """
    new = np.flatnonzero(np.concatenate(([True], (at_a[1:] != at_a[:-1]) | (at_b[1:] != at_b[:-1]))))
    count = np.diff(new, append=len(at_a))
    at_a, at_b = at_a[new], at_b[new]
    i = np.searchsorted(a.starts, at_a, side="right") - 1
    j = np.searchsorted(b.starts, at_b, side="right") - 1
    width = np.minimum(a.starts[i + 1] - at_a, b.starts[j + 1] - at_b)
    fits = a.heard_before[at_a + width] - a.heard_before[at_a] >= a.needed[i]
    fits &= b.heard_before[at_b + width] - b.heard_before[at_b] >= b.needed[j]
    i, j, at_a, at_b, width, count = (x[fits] for x in (i, j, at_a, at_b, width, count))
    offset = (at_b - b.starts[j]) - (at_a - a.starts[i])
    most = _with_most_votes(i * len(b.starts) + j, offset, count)
    i, j, at_a, at_b, width = (x[most] for x in (i, j, at_a, at_b, width))
    # chance gets half of the bits wrong, so that most pairs are told apart before the end
    begin = np.ceil(width * min(1.0, max_bit_error / CHANCE)).astype(np.int64)
    wrong, heard = _compared(a.codes, b.codes, at_a, at_b, begin)
    still = np.flatnonzero(wrong <= 32 * max_bit_error * (heard + width - begin) + 1)  # 1: what float may round off
    at_a, at_b, width = (at_a + begin)[still], (at_b + begin)[still], (width - begin)[still]
    wrong_then, heard_then = _compared(a.codes, b.codes, at_a, at_b, width)
    wrong, heard = wrong[still] + wrong_then, heard[still] + heard_then
    bit_error = wrong / (32 * np.maximum(heard, 1))
    alike = (heard >= MIN_FRAMES) & (bit_error <= max_bit_error)
    earlier, later = (a.first + i[still])[alike], (b.first + j[still])[alike]
    yield from zip(earlier.tolist(), later.tolist(), bit_error[alike].tolist(), strict=True)


def _with_most_votes(pair: NDArray[np.int64], offset: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which alignments are among the MAX_OFFSETS of their pair that have most votes; of equal ones the first.

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
    """Bits that differ in overlaps a[at_a :][:width] and b[at_b :][:width] where both have energy, and those frames.

    Shapes: at_a, at_b, width (N,) -> (N,), (N,); a and b reach the greatest width beyond each overlap's begin.
    """
    wrong, heard = np.zeros((2, len(width)), np.int64)
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
        heard[rows] = np.einsum("bt->b", both.view(np.uint8), dtype=sums)
    return wrong, heard


def to_compare(raws: Iterable[RawShard]) -> Iterator[tuple[str, str, NDArray[np.uint32]]]:
    """(clip_id, pcm_sha256, fingerprint) of each clip; those that are rejected already are nobody's original."""
    for raw in raws:
        for clip, text in zip(raw.clips, raw.fingerprints, strict=True):
            if not clip.reject and clip.pcm_sha256 is not None:
                yield clip.clip_id, clip.pcm_sha256, from_text(text)


def marked(raw: RawShard, found: Mapping[str, Duplicate], config: DedupConfig) -> RawShard:
    """The same shard, with every clip that repeats an earlier one rejected."""

    def mark(clip: Clip) -> Clip:
        twin = found.get(clip.clip_id)
        if twin is None:
            return clip
        detail = f"of {twin.of}: bit error {twin.bit_error:.3g} <= {config.max_bit_error:g}"
        return replace(clip, reject=(twin.kind, detail))

    return replace(raw, clips=[mark(clip) for clip in raw.clips])
