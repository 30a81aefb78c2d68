"""Recordings that a run must not take in: what stands for each of them in its place, without name, text or content."""

import os
import sqlite3
from collections.abc import Callable

Hidden = Callable[[str, str | None, str | None], tuple[str, str] | None]
"""(source, SHA-256 of the content or None, speaker) -> what stands for the name, and why; None: it may be taken in."""


def hide(db: sqlite3.Connection, hidden: Hidden) -> int:
    """Put rows with an error and nothing else in place of recordings that must not be taken in; return their number."""
    found = [
        (number, *instead)
        for number, source, sha256, speaker in db.execute(
            "SELECT number, source, sha256, speaker FROM found WHERE listed"
        )
        if (instead := hidden(source, sha256, speaker))
    ]
    db.executemany("DELETE FROM found WHERE number = ?", ((number,) for number, _, _ in found))
    db.executemany(
        "INSERT INTO found (path, source, error) VALUES (?, ?, ?)",
        ((os.fsencode(name), name, error) for _, name, error in found),
    )
    return len(found)


def rename_absent(db: sqlite3.Connection, sources: str, name_of: Callable[[str], str]) -> None:
    """Rename recordings that a table has under another name, since they were hidden after they were read.

    The table is in the same database and has names in its column `source`.
    """
    absent = db.execute(
        f"SELECT found.number, found.source FROM found LEFT JOIN {sources} AS other ON other.source = found.source "
        "WHERE found.listed AND other.source IS NULL"
    )
    for number, source in absent.fetchall():
        name = name_of(source)
        if db.execute(f"SELECT 1 FROM {sources} WHERE source = ?", (name,)).fetchone():
            db.execute("UPDATE found SET source = ? WHERE number = ?", (name, number))
