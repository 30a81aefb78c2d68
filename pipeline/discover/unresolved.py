"""Rows for what manifests say and what came to nothing: names that are absent, lines that are not understood."""

import os
import sqlite3
from collections.abc import Iterator
from itertools import groupby

from clean_corpus.pipeline.discover.recordings import composed


def resolve_lhotse_ids(db: sqlite3.Connection) -> None:
    """Give lhotse's statements the recordings that their ids mean in their folder; unknown ids are problems."""
    known = "FROM manifest JOIN lhotse USING (folder) WHERE number = statement.manifest AND lhotse.id = statement.id"
    problems = (
        (f"NOT EXISTS (SELECT 1 {known})", "no recording in this folder's manifests has id %r"),
        (f"EXISTS (SELECT 1 {known} AND clashes)", "several recordings in this folder's manifests have id %r"),
    )
    for condition, words in problems:
        wrong = db.execute(f"SELECT manifest, line, id FROM statement WHERE id IS NOT NULL AND {condition}")
        for manifest, line, name in wrong:
            note = words % name.decode("utf-8", "surrogatepass")
            db.execute("INSERT INTO problem VALUES (?, ?, ?)", (manifest, line, note))
            db.execute("UPDATE manifest SET used = used - 1 WHERE number = ?", (manifest,))
    db.execute(f"UPDATE statement SET recording = (SELECT recording {known} AND NOT clashes) WHERE id IS NOT NULL")


def source_of(db: sqlite3.Connection, recording: int) -> str:
    """Return the name of a recording for people."""
    return str(db.execute("SELECT source FROM found WHERE number = ?", (recording,)).fetchone()[0])


def note_overruled(db: sqlite3.Connection, manifest: int, line: int, *, by: int) -> None:
    """Count a text of a manifest that a later manifest replaces by another one."""
    put = "INSERT INTO overruled VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET count = count + 1"
    db.execute(put, (manifest, by, line))


def write_missing(db: sqlite3.Connection, only: bytes | None) -> None:
    """Give every file that a manifest names and that is absent a row with an error."""
    missing = db.execute(
        "SELECT missing.path, manifest.path, line, min(number) FROM missing CROSS JOIN manifest ON number = manifest "
        "WHERE ?1 IS NULL OR manifest.path = ?1 GROUP BY missing.path",
        (only,),
    )
    similar: _Folded | None = None
    for path, manifest, line, _ in missing:
        similar = similar or _Folded(db)
        error = f"not found: named in {_printable(manifest)} line {line}{similar.hint(path)}"
        db.execute(
            "INSERT INTO found (path, source, error) VALUES (?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET error = excluded.error, listed = 1 WHERE NOT listed",
            (path, _printable(path), error),
        )
    db.execute("DROP TABLE IF EXISTS folded")


class _Folded:
    """Names of recordings without regard to upper and lower case, collected once something is missing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute("CREATE TABLE folded (name BLOB, path BLOB, PRIMARY KEY (name, path)) WITHOUT ROWID")
        found = db.execute("SELECT path FROM found WHERE error IS NULL AND path NOT IN (SELECT path FROM manifest)")
        db.executemany("INSERT INTO folded VALUES (?, ?)", ((_folded(path), path) for (path,) in found))

    def hint(self, path: bytes) -> str:
        """Return words on a file whose name is another one only in upper and lower case, if there is one."""
        name = _folded(path)
        query = "SELECT path FROM folded WHERE name = ? OR name > ? AND name < ? LIMIT 1"
        found = self._db.execute(query, (name, name + b".", name + b"/")).fetchone()
        return f"; {_printable(found[0])!r} differs in upper and lower case" if found else ""


def _folded(path: bytes) -> bytes:
    return os.fsencode(os.fsdecode(composed(path)).casefold())


def write_problems(db: sqlite3.Connection, only: bytes | None) -> None:
    """Give every line that came to nothing a row with an error; or one row to a manifest of which nothing was used."""
    _write_overruled(db)
    problems = db.execute(
        "SELECT number, path, used, line, words FROM problem CROSS JOIN manifest ON number = manifest "
        "WHERE ?1 IS NULL OR path = ?1 ORDER BY number, line IS NOT NULL, line, problem.rowid",
        (only,),
    )
    for (_, path, used), rows in groupby(problems, key=lambda row: row[:3]):
        for line, words in _each_row(rows, one_row=used <= 0):
            source = f"{_printable(path)} line {line}" if line is not None else _printable(path)
            _write_row(db, path, line if used > 0 else None, f"malformed manifest: {source}: {words}")


def _each_row(problems: Iterator[tuple[int, bytes, int, int | None, str]], one_row: bool) -> Iterator[tuple]:
    """Yield line and words of each row to be written: a line's, the file's, or one for all."""
    for line, of_line in groupby(problems, key=lambda row: None if one_row else row[3]):
        others = -1
        for _, _, _, row_line, row_words in of_line:
            others += 1
            if others == 0:
                first_line, words = row_line, row_words
        yield first_line if one_row else line, words + (f" (and {others} more)" if others else "")


def _write_overruled(db: sqlite3.Connection) -> None:
    overruled = db.execute("SELECT manifest, path, count, line FROM overruled CROSS JOIN manifest ON number = by")
    for manifest, path, count, line in overruled:
        words = (
            f"{_printable(path)}, which counts as the later by name, has another text for {count} of its recordings, "
            f"the first in line {line}; keep one of them"
        )
        db.execute("INSERT INTO problem VALUES (?, NULL, ?)", (manifest, words))


def _write_row(db: sqlite3.Connection, manifest: bytes, line: int | None, error: str) -> None:
    path = manifest
    if line is not None:
        path += b":%d" % line
        while db.execute("SELECT 1 FROM found WHERE path = ?", (path,)).fetchone():  # a file of that name
            path += b"'"
    db.execute(
        "INSERT INTO found (path, source, error) VALUES (?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET error = excluded.error, listed = 1",
        (path, _printable(path), error),
    )


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
