"""Clips that are the same recording: equal samples, or the same sound re-encoded, re-levelled or trimmed."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.config import DedupConfig
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.quality import shared_codes
from clean_corpus.pipeline.quality.alignment import Block, similar_clips, worst_stretch
from clean_corpus.pipeline.quality.fingerprint import HOP_LENGTH, RATE, from_text
from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile, PartitionedFile, cuts

_PAIR = np.dtype([("bit_error", "f8"), ("earlier", "i8"), ("later", "i8"), ("offset", "i8")])
PAIRS = 2**18  # of clips that are alike, held at once; no result depends on it
BLOCK = 2**22  # frames of whole clips that are compared with those of another block; no result depends on it


@dataclass(frozen=True)
class Copies:
    """Clips that are one recording, by name in the order in which they came.

    `bit_error` is that to the most similar other one with other samples, 0 where all have the same. `sounds` is when
    each begins and ends to sound, in seconds on one clock: copies that are cut alike do so at the same time. Those of
    which `wording` is the same number are alike in each stretch of 0.4 s: none has a word where another has another.
    """

    bit_error: dict[str, float]
    sounds: dict[str, tuple[float, float]]
    wording: dict[str, int]


def find_copies(clips: Iterable[tuple[str, str, NDArray[np.uint32]]], config: DedupConfig) -> list[Copies]:
    """Return the groups of clips that are one recording; a clip without a copy is in none.

    A near duplicate of a near duplicate is in the same group, so that the groups do not depend on the order.
    The clips are read once. What is known of each lies in files without a name where TMPDIR says, some 12 kB for 5 s
    of speech if there are a million; memory holds 12 bytes a clip, the copies, and blocks of fixed size.

    Source: Haitsma & Kalker 2002, section 6: exact codes are looked up, then the aligned blocks compared bit by bit.
    Departs: the overlap must be most of both clips, so that an excerpt is no duplicate.
    Shapes: clips (clip_id, pcm_sha256, fingerprint (T_i,)), in order.
    """
    with scratch_database() as database, TemporaryFile() as file:
        distinct = FingerprintFile(file)
        equal = _separate_copies(clips, database, distinct if config.near else None)
        by_first: dict[str, Copies] = {}
        group_of: dict[str, Copies] = {}
        nearest, groups, joints = _joined(_spanning(_similar(distinct, config.max_bit_error)))
        wording = _wordings(distinct, joints, config.max_bit_error)
        for starts in groups:
            group = by_first[_clip_id(database, min(starts))] = Copies({}, {}, {})
            for number, start in sorted(starts.items()):
                clip_id = _clip_id(database, number)
                group.bit_error[clip_id] = nearest[number]
                group.sounds[clip_id] = _sounds(distinct, number, start)
                group.wording[clip_id] = wording[number]
                group_of[clip_id] = group
    for clip_id, original in equal:
        alone = Copies({original: 0.0}, {original: (0.0, 0.0)}, {original: 0})
        group = group_of.get(original) or by_first.setdefault(original, alone)
        group.bit_error[clip_id] = group.bit_error[original]
        group.sounds[clip_id] = group.sounds[original]
        group.wording[clip_id] = group.wording[original]
    return list(by_first.values())


def _spanning(pairs: Iterator[tuple[float, int, int, int]]) -> NDArray[np.void]:
    """Return those pairs alone that hold the groups together, the most similar ones first.

    A pair that some of the others make needless stays so, so that few are held at a time, and their order is of no
    matter.

    Source: Kruskal 1956, construction A.
    """
    kept = np.empty(0, _PAIR)
    while len(some := np.fromiter(islice(pairs, PAIRS), _PAIR)):
        kept = np.concatenate((kept, some))
        kept = kept[np.lexsort([kept[name] for name in reversed(_PAIR.names or ())])]
        first: dict[int, int] = {}
        needed = []
        for earlier, later in zip(kept["earlier"].tolist(), kept["later"].tolist(), strict=True):
            one, other = sorted((_first(first, earlier), _first(first, later)))
            first[other] = one
            needed.append(one != other)
        kept = kept[needed]
    return kept


def _first(first: dict[int, int], number: int) -> int:
    """Return the first clip of a group, and shorten the way to it."""
    way = []
    while (before := first.get(number, number)) != number:
        way.append(number)
        number = before
    first.update(dict.fromkeys(way, number))
    return number


def _joined(
    pairs: NDArray[np.void],
) -> tuple[dict[int, float], list[dict[int, int]], list[tuple[int, int, int]]]:
    """Return each clip's bit error to the most similar other one, the groups, and (earlier, later, offset) of joints.

    A group has the frame at which each of its clips starts. The pairs, from `_spanning`, are the joints: they tell how
    its clips lie against each other.
    """
    joints: list[tuple[int, int, int]] = []
    nearest: dict[int, float] = {}
    group_of: dict[int, dict[int, int]] = {}
    for bit_error, earlier, later, offset in pairs.tolist():
        one, other = (group_of.setdefault(number, {number: 0}) for number in (earlier, later))
        for number in (earlier, later):
            nearest.setdefault(number, bit_error)
        joints.append((earlier, later, offset))
        shift = one[earlier] - offset - other[later]
        if len(one) < len(other):
            one, other, shift = other, one, -shift
        one.update((number, start + shift) for number, start in other.items())
        group_of.update(dict.fromkeys(other, one))
    groups = {id(group): group for _, group in sorted(group_of.items())}
    return nearest, list(groups.values()), joints


def _wordings(clips: FingerprintFile, joints: Iterable[tuple[int, int, int]], max_bit_error: float) -> dict[int, int]:
    """Return a number for each clip of some joints, the same where joints lead along which all stretches are alike."""
    alike: dict[int, set[int]] = {}
    for earlier, later, offset in joints:
        fewer, more = sorted((alike.setdefault(number, {number}) for number in (earlier, later)), key=len)
        if worst_stretch(clips.codes(earlier), clips.codes(later), offset) <= max_bit_error:
            more |= fewer
            alike.update(dict.fromkeys(fewer, more))
    first: dict[int, int] = {}
    return {number: first.setdefault(id(alike[number]), number) for number in sorted(alike)}


def _sounds(clips: FingerprintFile, number: int, start: int) -> tuple[float, float]:
    """Return when a clip begins and ends to sound, in seconds, if it starts at a frame."""
    audible = np.flatnonzero(clips.codes(number))
    return float(start + audible[0]) * HOP_LENGTH / RATE, float(start + audible[-1] + 1) * HOP_LENGTH / RATE


def _separate_copies(
    clips: Iterable[tuple[str, str, NDArray[np.uint32]]],
    database: sqlite3.Connection,
    distinct: FingerprintFile | None,
) -> list[tuple[str, str]]:
    """Return exact copies as (clip, the first with equal samples); number the other clips in table and file."""
    database.execute("CREATE TABLE clip (number INTEGER PRIMARY KEY, clip_id TEXT)")
    database.execute("CREATE TABLE original (digest TEXT PRIMARY KEY, clip_id TEXT) WITHOUT ROWID")
    copies: list[tuple[str, str]] = []
    for clip_id, digest, codes in clips:
        new = database.execute("INSERT INTO original VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, clip_id))
        if new.rowcount == 0:
            (first,) = database.execute("SELECT clip_id FROM original WHERE digest = ?", (digest,)).fetchone()
            if first != clip_id:
                copies.append((clip_id, first))
                continue
        if distinct is not None:
            database.execute("INSERT INTO clip VALUES (?, ?)", (distinct.add(codes), clip_id))
    return copies


def _clip_id(database: sqlite3.Connection, number: int) -> str:
    (clip_id,) = database.execute("SELECT clip_id FROM clip WHERE number = ?", (number,)).fetchone()
    return str(clip_id)


def _similar(clips: FingerprintFile, max_bit_error: float) -> Iterator[tuple[float, int, int, int]]:
    """Yield the pairs that share a code, overlap enough, and are alike in the overlap, as `similar_clips` does.

    A pair may come up to MAX_OFFSETS times, once for each alignment.
    """
    starts = clips.starts
    if not starts[-1]:
        return
    edges = cuts(starts, BLOCK)
    low = np.uint64(64 - int(starts[-1]).bit_length())  # bits of a place in a block, below those of one in the file
    with TemporaryFile() as file:
        by_block = PartitionedFile(file, len(edges))
        for earlier, later in shared_codes.votes(clips):
            block = np.searchsorted(starts[edges], later, side="right") - 1
            place = later - starts[edges[block]]
            by_block.add(block, earlier.astype(np.uint64) << low | place.astype(np.uint64))
        for k in range(len(edges) - 1):
            block_votes = by_block.read(k)
            block_votes.sort()
            ends = np.searchsorted(block_votes, starts[edges].astype(np.uint64) << low)
            b = Block(clips, int(edges[k]), int(edges[k + 1]))
            for m in np.flatnonzero(np.diff(ends)):
                a = b if m == k else Block(clips, int(edges[m]), int(edges[m + 1]))
                of_block = block_votes[ends[m] : ends[m + 1]]
                of_clip = np.searchsorted(of_block, starts[edges[m] : edges[m + 1] + 1].astype(np.uint64) << low)
                for begin, end in pairwise(of_clip[cuts(of_clip, shared_codes.CHUNK)]):
                    at_a = (of_block[begin:end] >> low).astype(np.int64) - starts[a.first]
                    at_b = (of_block[begin:end] & ((np.uint64(1) << low) - np.uint64(1))).astype(np.int64)
                    yield from similar_clips(a, b, at_a, at_b, max_bit_error)


def to_compare(raws: Iterable[RawShard]) -> Iterator[tuple[str, str, NDArray[np.uint32]]]:
    """Yield (clip_id, pcm_sha256, fingerprint) of each clip that is not rejected yet."""
    for raw in raws:
        for clip, text in zip(raw.clips, raw.fingerprints, strict=True):
            if not clip.reject and clip.pcm_sha256 is not None:
                yield clip.clip_id, clip.pcm_sha256, from_text(text)
