"""Which clips the report of a run plays, known from the ledger alone: best, worst, most changed, some at random."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Verdict

RANKED_BY = "dnsmos_ovrl"

CLIPS_PER_GROUP = 4
ROWS_AT_ONCE = 10_000

Order = Literal["ascending", "descending"]


class Group(NamedTuple):
    """Clips that are heard together, at least one and at most CLIPS_PER_GROUP, in the order of the page."""

    title: str
    note: str
    clip_ids: list[str]


class First:
    """The first `n` rows, by `order`, of a table that comes in parts; between parts at most 2 n rows are held."""

    def __init__(self, n: int, *order: tuple[str, Order]) -> None:
        self._n, self._order = n, list(order)
        self._held: list[pa.Table] = []

    def add(self, part: pa.Table) -> None:
        if part.num_rows:
            self._held.append(part)
        if sum(held.num_rows for held in self._held) > 2 * self._n:
            self._held = [self.table()]

    def table(self) -> pa.Table | None:
        """At most `n` rows in order; None if no row came."""
        if not self._held:
            return None
        rows = pa.concat_tables(self._held)
        return rows.take(pc.select_k_unstable(rows, self._n, self._order))


def picks(ledger: pq.ParquetFile) -> list[Group]:
    """The groups of clips to hear, one pass over the ledger; a clip is in one group at most, the first that wants it.

    At random means by a hash of the clip's name: the choice needs no generator, and a clip that was drawn stays drawn
    until one with a smaller hash comes in. Equal scores are ordered by name, so the order of the rows does not matter.

    Raises: KeyError if the ledger lacks a column.
    """
    ranked = f"before_{RANKED_BY}" in ledger.schema_arrow.names
    columns = ["clip_id", "verdict", "reason", "chosen"]
    if ranked:
        columns += [f"before_{RANKED_BY}", f"after_{RANKED_BY}"]
    best, worst, improved, damaged, drawn = map(
        _candidates, ("descending", "ascending", "descending", "ascending", "ascending")
    )
    rejected: defaultdict[str, First] = defaultdict(lambda: _candidates("ascending"))
    for batch in batches(ledger, columns):
        clip_id, hashed = batch["clip_id"], hashes(batch["clip_id"])
        verdict, reason, chosen = (text(batch[name]) for name in ("verdict", "reason", "chosen"))
        kept = verdict == Verdict.KEPT
        if ranked:
            before, after = (floats(batch[f"{when}_{RANKED_BY}"]) for when in ("before", "after"))
            score, change = published(before, after, chosen), after - before
            scored = kept & np.isfinite(score)
            best.add(_of(clip_id, score, scored))
            worst.add(_of(clip_id, score, scored))
            improved.add(_of(clip_id, change, change > 0))
            damaged.add(_of(clip_id, change, change < 0))
        drawn.add(_of(clip_id, hashed, kept))
        for name in {*reason[verdict == Verdict.REJECTED]}:
            rejected[name].add(_of(clip_id, hashed, (verdict == Verdict.REJECTED) & (reason == name)))
    wanted = [
        ("Best", f"kept, highest {RANKED_BY}", best),
        ("Worst kept", f"kept, lowest {RANKED_BY}", worst),
        ("Most improved", f"largest rise of {RANKED_BY} by enhancement", improved),
        ("Most damaged", f"largest fall of {RANKED_BY} by enhancement", damaged),
        ("Kept, at random", "", drawn),
        *((f"Rejected: {name}", "at random", rejected[name]) for name in sorted(rejected)),
    ]
    used: set[str] = set()
    groups = []
    for title, note, candidates in wanted:
        found = candidates.table()
        clip_ids = [] if found is None else [name for name in found["clip_id"].to_pylist() if name not in used]
        if clip_ids:
            groups.append(Group(title, note, clip_ids[:CLIPS_PER_GROUP]))
            used.update(clip_ids[:CLIPS_PER_GROUP])
    return groups


def picked(ledger: pq.ParquetFile) -> list[str]:
    """The ids of all clips in `picks`, each once."""
    return [clip_id for group in picks(ledger) for clip_id in group.clip_ids]


def _candidates(order: Order) -> First:
    # Enough for a group even if the five before it have taken all their clips from its first ones; the groups of
    # rejected clips take none from each other.
    return First(6 * CLIPS_PER_GROUP, ("value", order), ("clip_id", order))


def _of(clip_id: pa.StringArray, value: NDArray[np.generic], eligible: NDArray[np.bool_]) -> pa.Table:
    return pa.table({"value": value[eligible], "clip_id": clip_id.filter(pa.array(eligible))})


# Rows and columns of a ledger


def batches(ledger: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of some columns in order, at most ROWS_AT_ONCE at a time."""
    # One iterator over all groups of rows keeps 0.1 kB of each row until it ends (pyarrow 26).
    for group in range(ledger.num_row_groups):
        yield from ledger.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns)


def hashes(clip_ids: pa.StringArray) -> NDArray[np.uint64]:
    """The first 64 bits of each name's SHA-256, evenly spread whatever the names: the smallest are a random draw.

    >>> hashes(pa.array(["a", "b"])).tolist() == [0xCA978112CA1BBDCA, 0x3E23E8160039594A]
    True
    """
    names = clip_ids.cast(pa.binary()).to_pylist()
    return np.frombuffer(b"".join(hashlib.sha256(name).digest()[:8] for name in names), ">u8").astype(np.uint64)


def text(column: pa.Array | pa.ChunkedArray) -> NDArray[np.object_]:
    """A column of strings, None where the ledger has null."""
    return np.array(column.to_pylist(), dtype=object)


def floats(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers, NaN where the ledger has null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def published(
    before: NDArray[np.float64], after: NDArray[np.float64], chosen: NDArray[np.object_]
) -> NDArray[np.float64]:
    """The score of the version that was chosen; where none was, that of the enhanced one if there is one."""
    undecided = np.where(np.isnan(after), before, after)
    return np.select([chosen == "raw", chosen == "enhanced"], [before, after], undecided)
