"""Figures of a ledger by speaker: clips, hours, scores, and the clips that a speaker's page plays."""

from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from clean_corpus.pipeline.corpus.ledger import opened
from clean_corpus.pipeline.quality.scorer import SCORES

PAGES = 100
"""Speakers with a page of their own, those with most kept time; the others are rows of the table."""
ROWS = 1000
"""Speakers in the table, at most."""
KEPT_HEARD, OTHERS_HEARD = 3, 2
"""Clips on a page: kept ones at random, and those that were rejected for their voice."""

SHOWN = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "distillmos", "snr_db")
"""Scores of the table and the pages, where they are measured."""

_NAME = "coalesce(speaker, speaker_auto)"
_BY_VOICE = "reason IN ('speaker_outlier', 'speaker_change')"


class Speaker(NamedTuple):
    """One speaker: `auto` is true for a name that was given by the voice; scores are means of what is published."""

    name: str
    auto: bool
    clips: int
    kept: int
    kept_s: float
    rejected_by_voice: int
    match: float | None
    scores: dict[str, float | None]


def speakers(ledger: Path) -> list[Speaker]:
    """Return the speakers with most kept time, at most ROWS of them; none of a ledger without voices.

    Raises: duckdb.Error if the ledger lacks a column.
    """
    with opened(ledger) as connection:
        if not _has_voices(connection):
            return []
        means = ", ".join(
            f"avg(if(chosen = 'raw', before_{name}, after_{name})) FILTER (verdict = 'kept')" for name in SHOWN
        )
        rows = connection.sql(
            f"""SELECT {_NAME} AS name, bool_and(speaker IS NULL), count(*), count(*) FILTER (verdict = 'kept'),
                       coalesce(sum(duration_s) FILTER (verdict = 'kept'), 0) AS kept_s,
                       count(*) FILTER ({_BY_VOICE}), avg(voice_match) FILTER (verdict = 'kept'), {means}
                FROM ledger WHERE {_NAME} IS NOT NULL GROUP BY name ORDER BY kept_s DESC, name LIMIT {ROWS}"""
        ).fetchall()
    return [Speaker(*row[:7], dict(zip(SHOWN, row[7:], strict=True))) for row in rows]


def count(ledger: Path) -> int:
    """Return the number of speakers of a ledger."""
    with opened(ledger) as connection:
        ((n,),) = connection.sql(f"SELECT count(DISTINCT {_NAME}) FROM ledger").fetchall()
    return n


def heard(ledger: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the clips to hear by the name of their speaker, of the speakers that have a page.

    At random means by a hash of the clip's name.
    Raises: duckdb.Error if the ledger lacks a column.
    """
    names = [speaker.name for speaker in speakers(ledger)[:PAGES]]
    if not names:
        return {}
    scores = ", ".join(f"if(chosen = 'raw', before_{name}, after_{name}) AS {name}" for name in SHOWN)
    with opened(ledger) as connection:
        table = connection.sql(
            f"""SELECT {_NAME} AS name, clip_id, source, offset_s, duration_s, text, verdict, reason, detail, chosen,
                       voice_match, {scores}
                FROM ledger WHERE (verdict = 'kept' OR {_BY_VOICE}) AND list_contains($names, {_NAME})
                QUALIFY row_number() OVER (PARTITION BY name, verdict ORDER BY sha256(clip_id))
                        <= if(verdict = 'kept', {KEPT_HEARD}, {OTHERS_HEARD})
                ORDER BY name, verdict, sha256(clip_id)""",
            params={"names": names},
        ).to_arrow_table()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["name"], []).append(row)
    return found


def picked(ledger: Path) -> list[str]:
    """Return the ids of the clips that the pages of speakers play."""
    return [row["clip_id"] for rows in heard(ledger).values() for row in rows]


def measured(found: list[Speaker]) -> list[str]:
    """Return those of SHOWN that some speaker has."""
    return [name for name in SHOWN if name in SCORES and any(s.scores[name] is not None for s in found)]


def _has_voices(connection: duckdb.DuckDBPyConnection) -> bool:
    return "speaker_auto" in connection.view("ledger").columns
