"""The ledger: one Parquet row for every clip that came in, in a fixed order, and questions asked of it with DuckDB."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.clip import Clip, Scores
from pipeline.gate import Decision
from pipeline.scoring import SCORES

_TEXT = ("text", "speaker", "licence", "consent")

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("offset_s", pa.float64()),
        ("duration_s", pa.float64()),
        ("sample_rate_in_hz", pa.int32()),
        ("channels_in", pa.int32()),
        ("speech_s", pa.float64()),
        *[(name, pa.string()) for name in _TEXT],
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("chosen", pa.string()),
        ("chosen_why", pa.string()),
        ("gain_db", pa.float64()),
        ("shard", pa.string()),
        ("enhancer", pa.string()),
        ("weights_sha256", pa.string()),
        ("config_sha256", pa.string()),
        *[(f"{when}_{score}", pa.float64()) for score in SCORES for when in ("before", "after")],
    ]
)


@dataclass(frozen=True)
class Row:
    """Everything known of one clip at the end of a run."""

    clip: Clip
    decision: Decision
    before: Scores
    after: Scores
    gain_db: float | None = None
    shard: str | None = None


def table(rows: Iterable[Row], *, enhancer: str, weights_sha256: str, config_sha256: str) -> pa.Table:
    """Rows sorted by source, offset and id: equal runs give equal bytes."""
    ordered = sorted(rows, key=lambda r: (r.clip.source, r.clip.offset_s, r.clip.clip_id))
    records = [
        {
            "clip_id": r.clip.clip_id,
            "source": r.clip.source,
            "source_sha256": r.clip.source_sha256,
            "offset_s": r.clip.offset_s,
            "duration_s": r.clip.duration_s,
            "sample_rate_in_hz": r.clip.sample_rate_in_hz,
            "channels_in": r.clip.channels_in,
            "speech_s": r.clip.speech_s,
            **{name: getattr(r.clip.metadata, name) for name in _TEXT},
            "verdict": r.decision.verdict.value,
            "reason": r.decision.reason,
            "detail": r.decision.detail,
            "chosen": r.decision.chosen,
            "chosen_why": r.decision.chosen_why,
            "gain_db": r.gain_db,
            "shard": r.shard,
            "enhancer": enhancer,
            "weights_sha256": weights_sha256,
            "config_sha256": config_sha256,
            **{f"before_{score}": r.before.get(score) for score in SCORES},
            **{f"after_{score}": r.after.get(score) for score in SCORES},
        }
        for r in ordered
    ]
    return pa.Table.from_pylist(records, SCHEMA)


def to_parquet(ledger: pa.Table) -> bytes:
    """The ledger as one Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(ledger, buffer, compression="zstd")
    return buffer.getvalue()


def query(ledger: pa.Table, sql: str) -> list[dict[str, object]]:
    """Rows of a DuckDB query in which the table is called `ledger`."""
    with duckdb.connect() as connection:
        connection.register("ledger", ledger)
        return connection.sql(sql).to_arrow_table().to_pylist()


def summary(ledger: pa.Table) -> dict[str, object]:
    """Clips and seconds by verdict and by reason; means of the kept clips' scores, raw and as published.

    Every clip has exactly one verdict, so counts add up to the rows.
    """
    verdicts = query(ledger, "SELECT verdict, count(*) n, sum(duration_s) s FROM ledger GROUP BY ALL")
    reasons = query(
        ledger,
        """SELECT verdict, reason, count(*) n, sum(duration_s) s FROM ledger WHERE reason IS NOT NULL
           GROUP BY ALL ORDER BY verdict, n DESC, reason""",
    )
    columns = ", ".join(
        f"avg(before_{name}) AS b_{name}, avg(if(chosen = 'raw', before_{name}, after_{name})) AS a_{name}"
        for name in SCORES
    )
    (means,) = query(ledger, f"SELECT {columns} FROM ledger WHERE verdict = 'kept'")
    by_verdict = {row["verdict"]: row for row in verdicts}
    ends = ("kept", "rejected", "failed")
    return {
        "counts": {"in": len(ledger), **{end: by_verdict.get(end, {"n": 0})["n"] for end in ends}},
        "seconds": {end: round(by_verdict.get(end, {"s": 0.0})["s"], 3) for end in ends},
        "reasons": {row["reason"]: {"clips": row["n"], "seconds": round(row["s"], 3)} for row in reasons},
        "means": {
            name: [round(means[f"b_{name}"], 4), round(means[f"a_{name}"], 4)]
            for name in SCORES
            if means[f"b_{name}"] is not None and means[f"a_{name}"] is not None
        },
    }
