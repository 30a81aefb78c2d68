"""The table of recordings that were found, in a scratch database instead of in memory."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from clean_corpus.pipeline.core.types import Metadata, Recording

_SCHEMA = """
CREATE TABLE found (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE, -- os.fsencode
    source TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0, sha256 TEXT, etag TEXT, error TEXT,
    text TEXT, speaker TEXT, licence TEXT, consent TEXT,
    listed INTEGER NOT NULL DEFAULT 1 -- 0: a manifest or sidecar, or not among what was asked for
)
"""
COLUMNS = "found.path, source, size, sha256, text, speaker, licence, consent, error, etag"


class Recordings:
    """The recordings in a database, in the order of their paths' bytes; each iteration reads it anew, row by row."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._count: int = db.execute("SELECT count(*) FROM found WHERE listed").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Recording]:
        yield from map(as_recording, self.db.execute(f"SELECT {COLUMNS} FROM found WHERE listed ORDER BY path"))

    def absent(self, sources: str) -> tuple[int, list[str]]:
        """Return how many recordings' `source` a table lacks, and the first three of them, sorted.

        The table is in the same database and has them in its column `source`, as text; NULL and repeated names do no
        harm.
        """
        lacking = (
            f"FROM found LEFT JOIN {sources} AS other ON other.source = found.source "
            "WHERE found.listed AND other.source IS NULL"
        )
        (count,) = self.db.execute(f"SELECT count(*) {lacking}").fetchone()
        first = self.db.execute(f"SELECT found.source {lacking} ORDER BY found.source LIMIT 3") if count else ()
        return count, [source for (source,) in first]


def create_table(db: sqlite3.Connection) -> None:
    """Create the empty table `found`, once in a database."""
    db.execute(_SCHEMA)


def add(db: sqlite3.Connection, found: Iterable[tuple[str, str | None, int, str | None]]) -> None:
    """Put rows (path, why it cannot be read, bytes, etag) into `found`; of two with one path the later one counts."""
    db.executemany(
        "INSERT OR REPLACE INTO found (path, source, error, size, etag) VALUES (?, ?, ?, ?, ?)",
        ((os.fsencode(path), printable(path), *rest) for path, *rest in found),
    )


def find_by_path(db: sqlite3.Connection, path: bytes) -> int | None:
    """Return the number of the recording at a path, None if there is none."""
    query = "SELECT number FROM found WHERE path = ? AND listed AND error IS NULL"
    row = db.execute(query, (path,)).fetchone()
    return int(row[0]) if row else None


def find_by_start(db: sqlite3.Connection, start: bytes) -> list[tuple[int, bytes]]:
    """Return numbers and paths of the recordings whose path is `start`, or continues it with a dot."""
    query = "SELECT number, path FROM found WHERE (path = ? OR path > ? AND path < ?) AND listed AND error IS NULL"
    return db.execute(query, (start, start + b".", start + b"/")).fetchall()  # in ASCII, / follows on .


def find_by_stem(db: sqlite3.Connection, stem: bytes) -> list[tuple[int, bytes]]:
    """Return numbers and paths of the recordings whose path without its extension is `stem`."""
    return [(number, path) for number, path in find_by_start(db, stem) if os.path.splitext(path)[0] == stem]


def as_recording(row: tuple[Any, ...]) -> Recording:
    """Return the recording of a row of COLUMNS."""
    path, source, size, sha256, *metadata, error, etag = row
    return Recording(os.fsdecode(path), source, size, sha256, Metadata(*metadata), error, etag)


def printable(path: str) -> str:
    r"""Return a path as valid UTF-8; bytes that are not UTF-8 become \xNN.

    >>> printable("caf\udce9.wav")
    'caf\\xe9.wav'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
