"""Choice of the clips that a report plays, from the ledger alone: best, worst, most changed, some at random."""

from pathlib import Path
from typing import NamedTuple

import duckdb

from clean_corpus.pipeline.corpus.ledger import opened

RANKED_BY = "dnsmos_ovrl"

CLIPS_PER_GROUP = 4
CANDIDATES = 6 * CLIPS_PER_GROUP
"""How many clips are asked for: enough for a group whose first ones all lie in the five groups before it."""

PUBLISHED = """CASE chosen WHEN 'raw' THEN before_{0} WHEN 'enhanced' THEN after_{0}
               ELSE coalesce(after_{0}, before_{0}) END"""
"""The score of the version that was chosen; where none was, that of the enhanced one if there is one."""


class Group(NamedTuple):
    """Clips that are heard together, at least one and at most CLIPS_PER_GROUP, in the order of the page."""

    title: str
    note: str
    clip_ids: list[str]


def picks(ledger: Path) -> list[Group]:
    """Return the groups of clips to hear; a clip is in one group at most, the first that wants it.

    At random means by a hash of the clip's name: a clip that was drawn stays drawn until one with a smaller hash comes
    in. Equal scores are ordered by name, so the order of the rows does not matter.
    Raises: duckdb.Error if the ledger lacks a column.
    """
    with opened(ledger) as connection:
        columns = connection.view("ledger").columns
        candidates = _ranked(connection) if f"before_{RANKED_BY}" in columns else []
        candidates += _drawn(connection)
    used: set[str] = set()
    groups = []
    for title, note, found in candidates:
        clip_ids = [clip_id for clip_id in found if clip_id not in used][:CLIPS_PER_GROUP]
        if clip_ids:
            groups.append(Group(title, note, clip_ids))
            used.update(clip_ids)
    return groups


def picked(ledger: Path) -> list[str]:
    """Return the ids of all clips in `picks`, each once."""
    return [clip_id for group in picks(ledger) for clip_id in group.clip_ids]


def _ranked(connection: duckdb.DuckDBPyConnection) -> list[Group]:
    """Return the candidates of the groups that a score decides."""
    score, change = PUBLISHED.format(RANKED_BY), f"after_{RANKED_BY} - before_{RANKED_BY}"
    groups = (
        ("Best", f"kept, highest {RANKED_BY}", score, "verdict = 'kept'", "DESC"),
        ("Worst kept", f"kept, lowest {RANKED_BY}", score, "verdict = 'kept'", "ASC"),
        ("Most improved", f"largest rise of {RANKED_BY} by enhancement", change, "value > 0", "DESC"),
        ("Most damaged", f"largest fall of {RANKED_BY} by enhancement", change, "value < 0", "ASC"),
    )
    return [
        Group(
            title,
            note,
            _first(connection, f"(SELECT *, {value} AS value FROM ledger)", f"isfinite(value) AND {where}", order),
        )
        for title, note, value, where, order in groups
    ]


def _drawn(connection: duckdb.DuckDBPyConnection) -> list[Group]:
    """Return the candidates of the groups that are drawn: of the kept clips, and of those rejected for each reason."""
    hashed = "(SELECT *, sha256(clip_id) AS value FROM ledger)"
    groups = [Group("Kept, at random", "", _first(connection, hashed, "verdict = 'kept'", "ASC"))]
    rejected = connection.sql(
        f"""SELECT reason, clip_id FROM {hashed} WHERE verdict = 'rejected' AND reason <> 'forgotten'
            QUALIFY row_number() OVER (PARTITION BY reason ORDER BY value) <= {CANDIDATES} ORDER BY reason, value"""
    ).fetchall()
    for reason in dict.fromkeys(reason for reason, _ in rejected):
        groups.append(
            Group(f"Rejected: {reason}", "at random", [clip_id for name, clip_id in rejected if name == reason])
        )
    return groups


def _first(connection: duckdb.DuckDBPyConnection, clips: str, where: str, order: str) -> list[str]:
    rows = connection.sql(
        f"SELECT clip_id FROM {clips} WHERE {where} ORDER BY value {order}, clip_id {order} LIMIT {CANDIDATES}"
    )
    return [clip_id for (clip_id,) in rows.fetchall()]
