"""The clips of one version as a table in memory: read from its ledger once, asked with bound parameters alone."""

import math
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet as pq

from clean_corpus.flows.review import thresholds
from clean_corpus.flows.review.scores import MOS, Score, known_scores
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.corpus.ledger import SCHEMA, name_in_sql
from clean_corpus.pipeline.quality import gate_sql
from clean_corpus.pipeline.quality.scorer import SCORES

FACETS = {
    "verdict": "verdict",
    "reason": "reason",
    "speaker": "coalesce(speaker, speaker_auto)",
    "folder": "CASE WHEN contains(source, '/') THEN regexp_replace(source, '/[^/]*$', '') END",
    "chosen": "chosen",
    "decided": "reviewed",
}
"""Facet -> its value in a row of the ledger; the table holds the number of the value, and 0 stands for none."""


class Kept(NamedTuple):
    """What a version keeps of its clips."""

    clips: int
    hours: float


LOTS = 2**31 - 1
"""A prime: clips draw lots from it, so that a seed shuffles a million of them without hashing their names again."""

BINS = 120  # of the stored numbers of bars; a histogram has as many, or a divisor of them
_TYPES = {"string": "VARCHAR", "double": "DOUBLE", "int32": "INTEGER"}
_SEARCHED = ("text", "clip_id", "source", "speaker", "speaker_auto", "asr_text")
_PLAIN = ("clip_id", "source", "source_sha256", "offset_s", "duration_s", "removed_s", "text", "cer")
_JUDGED_BY = ("clipping_ratio", "bandwidth_hz", "residual_snr_db", "voice_likeness", "voice_constancy")
_JUDGED_BY += tuple(f"{when}_{score}" for score in SCORES for when in ("before", "after"))


class Table:
    """The clips of a ledger, one row for each, in its order.

    `scores` are those that some clip has, `edges` the ends of the bars of their histograms, `values` those of each
    facet.
    Raises: DataError if the file is no ledger.
    """

    def __init__(self, ledger: Path, config: PipelineConfig) -> None:
        self.config = config
        self._folder = ScratchFolder()
        self._database = duckdb.connect(config={"temp_directory": self._folder.name})
        self._reading = threading.Lock()
        self.bars: dict[str, dict[int, int]] | None = None  # of the histograms of all clips, once they are asked for
        try:
            self._parquet = pq.ParquetFile(ledger)
            self._starts = _starts(self._parquet)
            self._read(ledger)
            question = "SELECT count(*), coalesce(sum(duration_s), 0) / 3600 FROM clips WHERE is_kept"
            self.kept = Kept(*self._database.execute(question).fetchall()[0])
        except (duckdb.Error, OSError, ValueError) as error:
            raise DataError(f"ledger {ledger.name} cannot be read: {error}; run again") from None
        # from here on no text of a user can name a file, whatever becomes of it
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()
        self._parquet.close()
        self._folder.cleanup()

    # ---- questions

    @contextmanager
    def asked(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection for one thread's questions."""
        with self._database.cursor() as cursor:
            yield cursor

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the answer to one question."""
        with self.asked() as cursor:
            return cursor.execute(sql, dict(parameters or {})).fetchall()

    def records(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the answer to one question, with the names of its columns."""
        with self.asked() as cursor:
            cursor.execute(sql, dict(parameters or {}))
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def number(self, facet: str, value: str) -> int:
        """Return the number that stands for a facet's value, -1 if no clip has it."""
        return self._numbers[facet].get(value, -1)

    def row_of(self, clip_id: str) -> int | None:
        """Return the number of a clip's row, None if there is no such clip."""
        found = self.rows("SELECT row FROM clips WHERE clip_id = $clip_id", {"clip_id": clip_id})
        return found[0][0] if found else None

    def whole(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return all that the ledger says of some clips, by the numbers of their rows; columns that it lacks are None.

        Each part of the file that holds some of them is read once.
        """
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(bisect_right(self._starts, row) - 1, []).append(row)
        found = {}
        for group, some in sorted(groups.items()):
            with self._reading:
                part = self._parquet.read_row_group(group)
            records = part.take([row - self._starts[group] for row in some]).to_pylist()
            found |= {row: dict.fromkeys(SCHEMA.names) | record for row, record in zip(some, records, strict=True)}
        return found

    def mark(self, decided: Mapping[int, str]) -> None:
        """Say what is decided over clips, by the numbers of their rows: their values of the facet `decided`."""
        with self.asked() as cursor:
            for row, words in decided.items():
                number = self._numbers["decided"].setdefault(words, len(self.values["decided"]))
                if number == len(self.values["decided"]):
                    self.values["decided"].append(words)
                cursor.execute("UPDATE clips SET decided = $n WHERE row = $row", {"n": number, "row": row})

    # ---- reading

    def _read(self, ledger: Path) -> None:
        there = set(self._parquet.schema_arrow.names)
        columns = ", ".join(
            field.name if field.name in there else f"CAST(NULL AS {_TYPES[str(field.type)]}) AS {field.name}"
            for field in SCHEMA
        )
        source = f"(SELECT {columns}, file_row_number AS row FROM read_parquet($file, file_row_number = true))"
        file = {"file": name_in_sql(ledger)}
        self.values: dict[str, list[str]] = {}
        for facet, expression in FACETS.items():
            question = f"SELECT DISTINCT {expression} AS value FROM {source} WHERE value <> '' ORDER BY 1"
            found = [value for (value,) in self._database.execute(question, file).fetchall()]
            self.values[facet] = ["", *found]
            self._database.execute(f"CREATE TABLE of_{facet} (value VARCHAR, number INTEGER)")
            if found:
                listed = {"values": self.values[facet]}
                self._database.execute(
                    f"INSERT INTO of_{facet} SELECT unnest($values), unnest(range(len($values)))", listed
                )
        self._numbers = {facet: {value: n for n, value in enumerate(found)} for facet, found in self.values.items()}
        self._measure(source, file)
        numbers = [f"coalesce(of_{facet}.number, 0) AS {facet}" for facet in FACETS]
        joins = [f"LEFT JOIN of_{facet} ON of_{facet}.value = c.f_{facet}" for facet in FACETS]
        facets = ", ".join(f"{expression} AS f_{facet}" for facet, expression in FACETS.items())
        kept = ", ".join(f"c.{name}" for name in ("row", *_PLAIN, *_JUDGED_BY))
        self._database.execute(
            f"""CREATE TABLE clips AS SELECT {kept}, {", ".join(self._derived())}, {", ".join(numbers)}
                FROM (SELECT *, {facets} FROM {source}) c {" ".join(joins)} ORDER BY c.row""",
            file,
        )
        for facet in FACETS:
            self._database.execute(f"DROP TABLE of_{facet}")
        if self._database.execute("SELECT count(*) FROM clips WHERE rowid <> row").fetchall() != [(0,)]:
            raise DataError(f"ledger {ledger.name}: its rows are not in their order; this is a bug")

    def _measure(self, source: str, file: dict[str, str]) -> None:
        """Find which scores there are, how far each spreads, and over what range its histogram goes."""
        scores = known_scores()
        wanted = ", ".join(
            f"approx_quantile({score.sql}, [0.005, 0.25, 0.75, 0.995]), stddev_pop({score.sql})"
            for score in scores.values()
        )
        (found,) = self._database.execute(f"SELECT {wanted} FROM {source}", file).fetchall()
        self.scores: dict[str, Score] = {}
        self.edges: dict[str, tuple[float, float]] = {}
        self._spreads: dict[str, float] = {}
        for score, quantiles, deviation in zip(scores.values(), found[::2], found[1::2], strict=True):
            if quantiles is None:
                continue
            low, lower, upper, high = map(float, quantiles)
            self.scores[score.name] = score
            limit = score.facts(self.config.gate)["threshold"]
            low, high = (low, high) if limit is None else (min(low, limit), max(high, limit))
            margin = 0.03 * (high - low) or 0.5
            self.edges[score.name] = low - margin, high + margin
            self._spreads[score.name] = (upper - lower) / 1.349 or deviation or 1.0

    def _derived(self) -> list[str]:
        """Return the columns that the ledger does not have."""
        limits = thresholds.literal(self.config.gate)
        margins = gate_sql.margins(limits, lambda score: str(self._spreads.get(score, 1.0)))
        is_measured = f"({thresholds.UNSCORED} OR ({' + '.join(margins) or '0'}) IS NOT NULL)"
        nearness = f"abs(least({', '.join(margins)}))" if margins else "CAST(NULL AS DOUBLE)"
        changes = [
            f"abs(after_{name} - before_{name}) / {self._spreads[name]}" for name in MOS if name in self._spreads
        ]
        searched = ", ".join(_SEARCHED)
        return [
            *(f"{score.sql} AS s_{score.name}" for score in self.scores.values()),
            *(f"{_bar(score.sql, *self.edges[score.name])} AS b_{score.name}" for score in self.scores.values()),
            f"lower(nfc_normalize(concat_ws(chr(10), {searched}))) AS search",
            f"CAST(md5_number(clip_id) % {LOTS} AS BIGINT) AS lot",
            "verdict = 'kept' AS is_kept",
            "gate_verdict IS NOT NULL AS by_hand",
            "reviewed_at IS NOT NULL AS is_reviewed",
            "coalesce(gate_verdict, verdict) = 'kept' AS gate_keeps",
            f"{thresholds.GATE_REASON} AS gate_reason",
            f"{thresholds.JUDGED} AS judged",
            f"{thresholds.HELD} AS held",
            f"{thresholds.UNSCORED} AS unscored",
            f"({gate_sql.harmed_by(limits)}) AS harmed",
            f"{thresholds.passes(limits, self.config, held=thresholds.HELD)} AS now_keeps",
            f"CASE WHEN {thresholds.JUDGED} AND {is_measured} THEN {nearness} END AS nearness",
            f"greatest({', '.join(changes)}) AS change" if changes else "CAST(NULL AS DOUBLE) AS change",
        ]


def _bar(value: str, low: float, high: float) -> str:
    """Return the expression of the bar of a histogram in which a value lies; what lies outside is in the outer ones."""
    place = f"floor(({value} - {low!r}) / {(high - low) / BINS!r})"
    return f"CAST(CASE WHEN isfinite({value}) THEN greatest(0, least({BINS - 1}, {place})) END AS UTINYINT)"


def _starts(parquet: pq.ParquetFile) -> list[int]:
    """Return the number of the first row of each group of a file's rows."""
    metadata = parquet.metadata
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    return [sum(sizes[:n]) for n in range(len(sizes))]


def finite(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
