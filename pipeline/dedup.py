"""Clips that are the same recording: equal samples, or the same sound re-encoded, re-levelled or trimmed."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.clip import Clip
from pipeline.config import DedupConfig
from pipeline.records import RawShard
from pipeline.synthetic import Audio

RATE = 6000  # Hz; telephone speech still has all of it
WIN_LENGTH = 2048  # 341 ms
HOP_LENGTH = 72  # 12 ms
BAND_EDGES_HZ = np.geomspace(300.0, 2800.0, 34)  # to 2 kHz in the paper; more tells takes of one word apart
QUIET_DB = -40.0  # frames this far below the loudest say more about the codec or the noise than about the recording
SILENT_DB = -90.0  # ... and below this, against a full-scale sine, nothing at all
MIN_FRAMES = 32  # frames compared, at least
MIN_OVERLAP = 0.75  # of the frames with energy of either clip; a window reaches beyond the end of its sound
MAX_NEXT = 16  # clips with the same code that one is compared with, so that a common code costs linear time
MAX_OFFSETS = 3  # alignments tried per pair


def pcm_sha256(x: Audio) -> str:
    """Digest of the samples as 16-bit integers, equal for a WAV file and its FLAC.

    Shapes: x (N,), full scale +-1.

    >>> pcm_sha256(np.zeros(0, np.float32))[:8]
    'e3b0c442'
    """
    samples = np.clip(np.rint(x * 32768.0), -32768, 32767).astype("<i2")
    return hashlib.sha256(samples.tobytes()).hexdigest()


def fingerprint(x: Audio, *, sample_rate: int) -> NDArray[np.uint32]:
    """One 32-bit code per 12 ms: whether the energy step from band to band grows from frame to frame.

    Source: Haitsma & Kalker 2002, section 4.2.
    Departs: a frame without energy has code 0, which matches nothing.
    Shapes: x (N,) -> (T,); frame t is centred at (t + 1) * 12 ms.

    >>> fingerprint(np.zeros(600, np.float32), sample_rate=6000).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0]
    """
    x = soxr.resample(x, sample_rate, RATE) if sample_rate != RATE else x
    x = np.pad(x, WIN_LENGTH // 2)
    window = np.hanning(WIN_LENGTH).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x, WIN_LENGTH)[::HOP_LENGTH]
    edges = np.rint(BAND_EDGES_HZ * WIN_LENGTH / RATE).astype(int)
    energy = np.concatenate([_band_energy(frames[i : i + 1024] * window, edges) for i in range(0, len(frames), 1024)])
    step = np.diff(energy, axis=1)  # (T, 32)
    bits = np.packbits(np.diff(step, axis=0) > 0, axis=1)
    codes = bits.view(">u4")[:, 0].astype(np.uint32)
    level = energy[1:].sum(axis=1)
    full_scale = (window.sum() / 2) ** 2
    floor = max(level.max(initial=0.0) * 10 ** (QUIET_DB / 10), full_scale * 10 ** (SILENT_DB / 10))
    return np.where(level >= floor, np.maximum(codes, 1), 0).astype(np.uint32)


def _band_energy(frames: Audio, edges: NDArray[np.int_]) -> Audio:
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    return np.add.reduceat(power, edges, axis=1)[:, :-1]


@dataclass(frozen=True)
class Duplicate:
    """What a clip is a copy of: the first of its group."""

    of: str
    kind: Literal["duplicate", "near_duplicate"]
    bit_error: float


def find_duplicates(clips: Sequence[tuple[str, str, NDArray[np.uint32]]], config: DedupConfig) -> dict[str, Duplicate]:
    """The clips that repeat an earlier one; the first of each group is not among them.

    A near duplicate of a near duplicate is in the same group; `bit_error` is that to the most similar earlier clip.

    Source: Haitsma & Kalker 2002, section 6: exact codes are looked up, then the aligned blocks compared bit by bit.
    Departs: the overlap must be most of both clips, so that an excerpt is no duplicate.
    Shapes: clips (clip_id, pcm_sha256, fingerprint (T_i,)), in order.
    """
    found: dict[str, Duplicate] = {}
    first_of: dict[str, str] = {}
    distinct: list[tuple[str, NDArray[np.uint32]]] = []
    copies: list[tuple[str, str]] = []
    for clip_id, digest, codes in clips:
        first = first_of.setdefault(digest, clip_id)
        if first == clip_id:
            distinct.append((clip_id, codes))
        else:
            copies.append((clip_id, first))
    if config.near:
        nearest: dict[int, tuple[float, int]] = {}
        for earlier, later, bit_error in _similar([codes for _, codes in distinct]):
            if bit_error <= config.max_bit_error:
                nearest[later] = min(nearest.get(later, (bit_error, earlier)), (bit_error, earlier))
        for later in sorted(nearest):
            bit_error, earlier = nearest[later]
            earlier_id = distinct[earlier][0]
            of = found[earlier_id].of if earlier_id in found else earlier_id
            found[distinct[later][0]] = Duplicate(of, "near_duplicate", bit_error)
    for clip_id, first in copies:
        found[clip_id] = Duplicate(found[first].of if first in found else first, "duplicate", 0.0)
    return found


def _similar(fingerprints: list[NDArray[np.uint32]]) -> Iterator[tuple[int, int, float]]:
    """(earlier, later, bit error rate) of the pairs that share a code where they overlap enough."""
    earlier, later, offset = _candidates(fingerprints)
    for i, j, k in zip(earlier.tolist(), later.tolist(), offset.tolist(), strict=True):
        yield i, j, _bit_error(fingerprints[i], fingerprints[j], k)


def _candidates(fingerprints: list[NDArray[np.uint32]]) -> tuple[NDArray[np.int64], ...]:
    """Pairs with equal codes and the alignments that most of these agree on: later[t + offset] is earlier[t]."""
    lengths = np.array([len(codes) for codes in fingerprints], np.int64)
    codes = np.concatenate([np.zeros(0, np.uint32), *fingerprints])
    starts = np.cumsum(lengths) - lengths
    heard = np.concatenate(([0], np.cumsum(codes > 0)))  # frames with energy before each
    # neighbouring frames overlap by 96 % and repeat their code; the first of such a run is enough
    new = np.concatenate(([True], codes[1:] != codes[:-1]))[: len(codes)] & (codes > 0)
    at = np.flatnonzero(new)
    keys = np.sort(codes[at].astype(np.uint64) << np.uint64(32) | at.astype(np.uint64))
    code, at = (keys >> np.uint64(32)), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    clip = np.searchsorted(starts, at, side="right") - 1
    frame = at - starts[clip]
    votes = []
    for step in range(1, MAX_NEXT + 1):
        pair = np.flatnonzero((code[step:] == code[:-step]) & (clip[step:] != clip[:-step]))
        i, j, offset = clip[pair], clip[pair + step], frame[pair + step] - frame[pair]
        # [begin, end) of the overlap in frames of the earlier clip
        begin, end = np.maximum(0, -offset), np.minimum(lengths[i], lengths[j] - offset)
        fits = np.ones(len(pair), np.bool_)
        for which, shift in ((i, 0), (j, offset)):
            within = heard[starts[which] + end + shift] - heard[starts[which] + begin + shift]
            fits &= within >= MIN_OVERLAP * (heard[starts[which] + lengths[which]] - heard[starts[which]])
        votes.append(np.stack((i[fits], j[fits], offset[fits])))
    alignments, count = np.unique(np.concatenate(votes, axis=1), axis=1, return_counts=True)
    i, j, offset = alignments
    order = np.lexsort((offset, -count, j, i))
    i, j, offset = i[order], j[order], offset[order]
    begins = np.flatnonzero(np.concatenate(([True], (i[1:] != i[:-1]) | (j[1:] != j[:-1])))[: len(i)])
    rank = np.arange(len(i)) - np.repeat(begins, np.diff(begins, append=len(i)))
    best = rank < MAX_OFFSETS
    return i[best], j[best], offset[best]


def _bit_error(earlier: NDArray[np.uint32], later: NDArray[np.uint32], offset: int) -> float:
    """Share of bits that differ where both have energy; 1 where that is too little to say."""
    start = max(0, -offset)
    end = min(len(earlier), len(later) - offset)
    a, b = earlier[start:end], later[start + offset : end + offset]
    heard = (a > 0) & (b > 0)
    n_heard = int(np.count_nonzero(heard))
    if n_heard < MIN_FRAMES:
        return 1.0
    return int(np.bitwise_count((a ^ b)[heard]).sum(dtype=np.int64)) / (32 * n_heard)


def mark_duplicates(raw: Sequence[RawShard], config: DedupConfig) -> list[RawShard]:
    """The same shards, with every clip that repeats an earlier one rejected.

    Clips that are rejected already are nobody's original.
    """
    known = []
    for shard in raw:
        for clip, text in zip(shard.clips, shard.fingerprints, strict=True):
            if not clip.reject:
                known.append((clip.clip_id, clip.pcm_sha256, np.frombuffer(base64.b64decode(text), "<u4")))
    found = find_duplicates(known, config)

    def marked(clip: Clip) -> Clip:
        twin = found.get(clip.clip_id)
        if twin is None:
            return clip
        detail = f"of {twin.of}: bit error {twin.bit_error:.3g} <= {config.max_bit_error:g}"
        return replace(clip, reject=(twin.kind, detail))

    return [replace(shard, clips=[marked(clip) for clip in shard.clips]) for shard in raw]
