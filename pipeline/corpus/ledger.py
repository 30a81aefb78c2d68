"""The ledger: one Parquet row for every clip that came in, in a fixed order, and questions asked of it with DuckDB."""

import glob
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.arrow_tables import table_of
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.types import Clip, Decision, ReviewFacts, Scores, VoiceFacts
from clean_corpus.pipeline.quality.scorer import SCORES

ROWS_PER_GROUP = 10_000  # of the Parquet file, and of rows in memory
_TEXT = (
    "text",
    "recording_text",
    "text_source",
    "text_original",
    "asr_text",
    "speaker",
    "licence",
    "consent",
    "language",
)
CONSTANTS = ("enhancer", "weights_sha256", "config_sha256", "dnsmos_windows")
"""Columns with what a whole run was made with."""

NO_VOICE = VoiceFacts()
NO_REVIEW = ReviewFacts()
REVIEW = tuple(part.name for part in fields(ReviewFacts))
"""Columns with what people decided, and what stood there without."""

_RECORDED = (
    "sample_rate_in_hz",
    "channels_in",
    "channel",
    "channel_why",
    "input_gain_db",
    "clipping_ratio",
    "bandwidth_hz",
    "cutoff_hz",
    "speech_s",
)

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("offset_s", pa.float64()),
        ("duration_s", pa.float64()),
        ("removed_s", pa.float64()),
        ("sample_rate_in_hz", pa.int32()),
        ("channels_in", pa.int32()),
        ("channel", pa.string()),
        ("channel_why", pa.string()),
        ("input_gain_db", pa.float64()),
        ("clipping_ratio", pa.float64()),
        ("bandwidth_hz", pa.float64()),
        ("cutoff_hz", pa.float64()),
        ("speech_s", pa.float64()),
        *[(name, pa.string()) for name in _TEXT],
        ("text_rate", pa.float64()),
        ("cer", pa.float64()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("chosen", pa.string()),
        ("chosen_why", pa.string()),
        ("residual_snr_db", pa.float64()),
        ("voice_likeness", pa.float64()),
        ("voice_constancy", pa.float64()),
        ("voice_match", pa.float64()),
        ("speaker_auto", pa.string()),
        ("gain_db", pa.float64()),
        ("shard", pa.string()),
        ("raw_shard", pa.string()),
        ("enhanced_shard", pa.string()),
        *[(name, pa.string()) for name in REVIEW],
        *[(name, pa.string()) for name in CONSTANTS],
        *[(f"{when}_{score}", pa.float64()) for score in SCORES for when in ("before", "after")],
    ]
)


@dataclass(frozen=True)
class Row:
    """Hold everything known of one clip at the end of a run.

    `raw_shard` and `enhanced_shard` are the tars below work/ in which its two versions lie, None where there is none.
    """

    clip: Clip
    decision: Decision
    before: Scores
    after: Scores
    residual_snr_db: float | None = None
    gain_db: float | None = None
    shard: str | None = None
    voice: VoiceFacts = NO_VOICE
    raw_shard: str | None = None
    enhanced_shard: str | None = None
    review: ReviewFacts = NO_REVIEW


def write(rows: Iterable[Row], file: BinaryIO, *, constants: Mapping[str, str | None]) -> int:
    """Write rows, in the order of source, offset and id, as one Parquet file; return their number.

    `constants` holds the columns that are the same for all: CONSTANTS. Equal rows give equal bytes.

    Raises: ValueError if the rows are in another order.
    """
    written, last = 0, ("", -1.0, "")
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        remaining = iter(rows)
        while batch := list(islice(remaining, ROWS_PER_GROUP)):
            for row in batch:
                position = row.clip.source, row.clip.offset_s, row.clip.clip_id
                if position <= last:
                    raise ValueError(f"row {position} of the ledger comes after {last}")
                last = position
            writer.write_table(table_of((_record(row) | constants for row in batch), SCHEMA))
            written += len(batch)
        if not written:
            writer.write_table(SCHEMA.empty_table())
    return written


def _record(row: Row) -> dict[str, object]:
    clip, decision = row.clip, row.decision
    return {
        **clip.origin,
        **{name: getattr(clip, name) for name in _RECORDED},
        **clip.texts,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "detail": decision.detail,
        "chosen": decision.chosen,
        "chosen_why": decision.chosen_why,
        "residual_snr_db": row.residual_snr_db,
        **asdict(row.voice),
        "gain_db": row.gain_db,
        "shard": row.shard,
        "raw_shard": row.raw_shard,
        "enhanced_shard": row.enhanced_shard,
        **asdict(row.review),
        **{f"before_{score}": row.before.get(score) for score in SCORES},
        **{f"after_{score}": row.after.get(score) for score in SCORES},
    }


@contextmanager
def opened(ledger: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a ledger's file for questions in SQL, in which it is called `ledger`.

    One thread works in 256 MB of memory, whatever the ledger's length; what exceeds them goes to a temporary folder.
    """
    with ScratchFolder() as folder:
        config = {"memory_limit": "256MB", "threads": 1, "temp_directory": folder}
        with duckdb.connect(config=config) as connection:
            connection.read_parquet(name_in_sql(ledger)).create_view("ledger")
            yield connection


def name_in_sql(file: Path) -> str:
    """Return a file's name as DuckDB takes it, which reads a bare one as a pattern of the shell's.

    >>> name_in_sql(Path("corpus [1]/ledger.parquet"))
    'corpus [[]1]/ledger.parquet'
    """
    return glob.escape(str(file))


def query(ledger: Path, sql: str) -> list[dict[str, object]]:
    """Return the rows of one question to a ledger."""
    with opened(ledger) as connection:
        return connection.sql(sql).to_arrow_table().to_pylist()


def summary(ledger: Path) -> dict[str, object]:
    """Return clips and seconds by verdict and by reason, and means of the kept clips' scores, raw and as published.

    Every clip has exactly one verdict, so counts add up to the rows. `textless` counts the kept clips whose recording
    has a text, and nothing says what part of it is theirs.
    """
    (total,) = query(ledger, "SELECT count(*) n FROM ledger")
    (textless,) = query(
        ledger,
        "SELECT count(*) n FROM ledger WHERE verdict = 'kept' AND text IS NULL AND recording_text IS NOT NULL",
    )
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
        "counts": {"in": total["n"], **{end: by_verdict.get(end, {"n": 0})["n"] for end in ends}},
        "textless": textless["n"],
        "seconds": {end: round(by_verdict.get(end, {"s": 0.0})["s"], 3) for end in ends},
        "reasons": {row["reason"]: {"clips": row["n"], "seconds": round(row["s"], 3)} for row in reasons},
        "means": {
            name: [round(means[f"b_{name}"], 4), round(means[f"a_{name}"], 4)]
            for name in SCORES
            if means[f"b_{name}"] is not None and means[f"a_{name}"] is not None
        },
    }
