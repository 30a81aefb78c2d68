"""Everything of a ledger that the report shows: exact counts, sums and means, and a sample of its scores.

The ledger is never held: DuckDB counts it in bounded memory, and the curves of a long one are those of a sample.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Verdict
from clean_corpus.pipeline.corpus.ledger import opened
from clean_corpus.pipeline.report.listening_picks import PUBLISHED, RANKED_BY

SAMPLED = 100_000
"""Clips behind the histograms and the yield curve; of a longer ledger, those whose names have the smallest hashes."""

FAILED_SHOWN = 200

_WHY = "replace(split_part(chosen_why, ':', 1), '_', ' ')"  # the class of it, in words

RECORDED = ("clipping_ratio", "bandwidth_hz", "residual_snr_db", "voice_likeness")
"""Scores that the gate reads of the recording or of both versions, columns of the ledger without `before_`."""

_CARD = ("clip_id", "source", "offset_s", "duration_s", "text", "verdict", "reason", "detail", "chosen", "chosen_why")


class Count(NamedTuple):
    """Clips and their seconds."""

    clips: int = 0
    seconds: float = 0.0

    @classmethod
    def total(cls, counts: Iterable["Count"]) -> "Count":
        """Return the sum of counts."""
        counts = list(counts)
        return cls(sum(count.clips for count in counts), sum(count.seconds for count in counts))


class Score(NamedTuple):
    """One score of the sampled clips, raw and enhanced; NaN where not measured."""

    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def measured(self) -> bool:
        """True if at least one clip has this score."""
        return bool(np.isfinite(self.before).any() or np.isfinite(self.after).any())


@dataclass(frozen=True)
class Sample:
    """The clips of the curves, by name; `duration_s` is scaled to add up to that of the whole ledger.

    Shapes: (N,) each.
    """

    verdict: NDArray[np.object_]
    reason: NDArray[np.object_]
    chosen: NDArray[np.object_]
    duration_s: NDArray[np.float64]
    scores: dict[str, Score]
    recorded: dict[str, NDArray[np.float64]]
    """RECORDED scores, NaN where not measured."""


@dataclass(frozen=True)
class Figures:
    """Figures of a ledger that the report shows."""

    ends: Mapping[tuple[str, str], Count]
    """(verdict, version and why it was chosen if kept, else reason) -> clips and seconds."""
    raw: Mapping[str, int]
    """Why the raw version was chosen -> kept clips of which it was published."""
    ovrl_before: float | None
    ovrl_after: float | None
    failed: list[dict[str, Any]]
    rows: Mapping[str, dict[str, Any]]
    """Clip id -> row of a clip to hear."""
    sample: Sample

    def of(self, verdict: Verdict) -> Count:
        """Return the clips that ended so."""
        return Count.total(count for (end, _), count in self.ends.items() if end == verdict)


def count(ledger: Path, heard: Sequence[str]) -> Figures:
    """Count a ledger, and read the rows of the clips to hear.

    Raises: duckdb.Error if the ledger lacks a column.
    """
    with opened(ledger) as connection:
        columns = connection.view("ledger").columns
        names = [column.removeprefix("before_") for column in columns if column.startswith("before_")]
        scores = [f"{when}_{name}" for name in names for when in ("before", "after")]
        ends = _ends(connection)
        failed = connection.sql(
            f"""SELECT clip_id, source, offset_s, reason, detail FROM ledger WHERE verdict = 'failed'
                ORDER BY clip_id LIMIT {FAILED_SHOWN}"""
        ).to_arrow_table()
        rows = connection.sql(
            f"SELECT {', '.join([*_CARD, *scores])} FROM ledger WHERE clip_id IN (SELECT unnest(?))",
            params=[list(heard)],
        ).to_arrow_table()
        before, after = _kept(connection, RANKED_BY in names)
        return Figures(
            ends=ends,
            raw=_published_raw(connection),
            ovrl_before=before,
            ovrl_after=after,
            failed=failed.to_pylist(),
            rows={row["clip_id"]: row for row in rows.to_pylist()},
            sample=_sample(
                connection, names, [name for name in RECORDED if name in columns], Count.total(ends.values())
            ),
        )


def _ends(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Count]:
    rows = connection.sql(
        f"""SELECT verdict, coalesce(if(verdict = 'kept', concat_ws(', ', chosen, {_WHY}), reason), 'None') AS label,
                  count(*), sum(duration_s) FROM ledger GROUP BY ALL ORDER BY ALL"""
    )
    return {(verdict, label): Count(clips, seconds) for verdict, label, clips, seconds in rows.fetchall()}


def _published_raw(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = connection.sql(
        f"""SELECT coalesce({_WHY}, 'None') AS why, count(*) FROM ledger WHERE verdict = 'kept' AND chosen = 'raw'
            GROUP BY ALL ORDER BY ALL"""
    )
    return dict(rows.fetchall())


def _kept(connection: duckdb.DuckDBPyConnection, ranked: bool) -> tuple[float | None, float | None]:
    """Return the mean ranking score of kept clips, raw and as published."""
    before, after = (f"before_{RANKED_BY}", PUBLISHED.format(RANKED_BY)) if ranked else ("NULL::DOUBLE",) * 2
    (row,) = connection.sql(
        f"""SELECT avg(before) FILTER (isfinite(before)), avg(after) FILTER (isfinite(after))
            FROM (SELECT {before} AS before, {after} AS after FROM ledger WHERE verdict = 'kept')"""
    ).fetchall()
    return row


def _sample(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], recorded: Sequence[str], total: Count
) -> Sample:
    scores = [f"{when}_{name}" for name in names for when in ("before", "after")]
    columns = ["verdict", "reason", "chosen", "duration_s", *recorded, *scores]
    # in two steps: sorting whole rows by the hash would hold all of them
    ((last,),) = connection.sql(
        f"SELECT max(hash) FROM (SELECT sha256(clip_id) AS hash FROM ledger ORDER BY hash LIMIT {SAMPLED})"
    ).fetchall()
    table = connection.sql(
        f"SELECT {', '.join(columns)} FROM ledger WHERE sha256(clip_id) <= $last ORDER BY clip_id",
        params={"last": last},
    ).fetchnumpy()  # an arrow column as numbers imports pandas where that is installed: a fifth of a report's work
    duration_s = _floats(table["duration_s"])
    if len(duration_s) < total.clips:
        duration_s = duration_s * (total.seconds / max(float(duration_s.sum()), 1e-12))
    return Sample(
        **{name: _texts(table[name]) for name in ("verdict", "reason", "chosen")},
        duration_s=duration_s,
        scores={name: Score(_floats(table[f"before_{name}"]), _floats(table[f"after_{name}"])) for name in names},
        recorded={name: _floats(table[name]) for name in recorded},
    )


def _floats(column: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column of numbers, NaN where the ledger has null."""
    return np.ma.filled(column.astype(np.float64), np.nan)


def _texts(column: NDArray[Any]) -> NDArray[np.object_]:
    """Return a column of texts, None where the ledger has null."""
    return np.where(np.ma.getmaskarray(column), None, np.ma.getdata(column))
