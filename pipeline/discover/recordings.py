"""The table of recordings that were found, in a scratch database instead of in memory."""

import json
import os
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clean_corpus.pipeline.core.types import Metadata, Recording, TimedText
from clean_corpus.pipeline.discover.hidden import rename_absent

_SCHEMA = """
CREATE TABLE found (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE, -- os.fsencode
    composed BLOB, -- the path in Unicode's form NFC, where that is another
    source TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0, sha256 TEXT, etag TEXT, error TEXT,
    text TEXT, speaker TEXT, licence TEXT, consent TEXT, language TEXT,
    segments TEXT, -- JSON: [start_s, end_s, text, speaker] of each
    shares_key INTEGER NOT NULL DEFAULT 0,
    stamp TEXT, -- hashes.stamp_of a local file, when it was hashed
    listed INTEGER NOT NULL DEFAULT 1 -- 0: a manifest or sidecar, or not among what was asked for
);
CREATE TABLE hashed (path BLOB PRIMARY KEY, size INTEGER, stamp TEXT, sha256 TEXT) WITHOUT ROWID;
CREATE INDEX found_composed ON found (composed) WHERE composed IS NOT NULL;
"""
TIMED = (b".vtt", b".srt", b".textgrid")  # sidecars with time stamps
_LONGEST_SUFFIX = 8  # of a language or an extension, with its dot: .zh-Hans
SIDECARS = (b".txt", *TIMED, b".json")  # of several the later kind overrules
COLUMNS = (
    "found.path, source, size, sha256, text, speaker, licence, consent, language, "
    "error, etag, shares_key, segments, stamp"
)


class Recordings:
    """The recordings in a database, in the order of their paths' bytes; each iteration reads it anew, row by row."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._count: int = db.execute("SELECT count(*) FROM found WHERE listed").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Recording]:
        yield from map(as_recording, self.db.execute(f"SELECT {COLUMNS} FROM found WHERE listed ORDER BY path"))

    def absent(self, sources: str, pseudonym: Callable[[str], str] | None = None) -> tuple[int, list[str]]:
        """Return how many recordings' `source` a table lacks, and the first three of them, sorted.

        The table is in the same database and has them in its column `source`, as text; NULL and repeated names do no
        harm. Recordings that the table has under the `pseudonym` of their name are renamed first.
        """
        if pseudonym:
            rename_absent(self.db, sources, pseudonym)
        lacking = (
            f"FROM found LEFT JOIN {sources} AS other ON other.source = found.source "
            "WHERE found.listed AND other.source IS NULL"
        )
        (count,) = self.db.execute(f"SELECT count(*) {lacking}").fetchone()
        first = self.db.execute(f"SELECT found.source {lacking} ORDER BY found.source LIMIT 3") if count else ()
        return count, [source for (source,) in first]


def create_table(db: sqlite3.Connection) -> None:
    """Create the empty tables `found` and `hashed`, once in a database."""
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)


def add(db: sqlite3.Connection, found: Iterable[tuple[str, str | None, int, str | None]]) -> None:
    """Put rows (path, why it cannot be read, bytes, etag) into `found`; of two with one path the later one counts."""
    db.executemany(
        "INSERT OR REPLACE INTO found (path, composed, source, error, size, etag) VALUES (?, ?, ?, ?, ?, ?)",
        ((*_both_forms(os.fsencode(path)), printable(path), *rest) for path, *rest in found),
    )


Found = tuple[int, bytes]
"""Number and path of a recording in the table."""


def find_by_path(db: sqlite3.Connection, path: bytes) -> list[Found]:
    """Return the recording at a path, or those whose path differs from it in Unicode normalisation alone."""
    query = "SELECT number, path FROM found WHERE {} = ? AND listed AND error IS NULL"
    exact: list[Found] = db.execute(query.format("path"), (path,)).fetchall()
    if exact or path.isascii():
        return exact
    normal = composed(path)
    return [row for name in ("path", "composed") for row in db.execute(query.format(name), (normal,))]


def find_by_name(db: sqlite3.Connection, name: bytes) -> list[Found]:
    """Return the recordings whose path, with or without its extension, is `name`; normalised as `find_by_path`."""
    exact = [found for found in _find_by_start(db, "path", name) if name in (found[1], stem_of(found[1]))]
    if exact or name.isascii():
        return exact
    normal = composed(name)
    starting = [*_find_by_start(db, "path", normal), *_find_by_start(db, "composed", normal)]
    return [found for found in starting if normal in (composed(found[1]), stem_of(composed(found[1])))]


def find_by_stem(db: sqlite3.Connection, stem: bytes) -> list[Found]:
    """Return the recordings whose path without its extension is `stem`; normalised as `find_by_path`."""
    exact = [found for found in _find_by_start(db, "path", stem) if stem_of(found[1]) == stem]
    if any(not path.lower().endswith(SIDECARS) for _, path in exact) or stem.isascii():
        return exact
    normal = composed(stem)
    starting = [*_find_by_start(db, "path", normal), *_find_by_start(db, "composed", normal)]
    alike = [found for found in starting if stem_of(composed(found[1])) == normal]
    return exact + [found for found in alike if found not in exact]


def _find_by_start(db: sqlite3.Connection, column: str, start: bytes) -> list[Found]:
    """Return the recordings whose path in a column is `start`, or continues it with a dot."""
    query = (
        f"SELECT number, path FROM found WHERE ({column} = ? OR {column} > ? AND {column} < ?) "
        f"AND listed AND error IS NULL AND {column} IS NOT NULL"
    )
    return db.execute(query, (start, start + b".", start + b"/")).fetchall()  # in ASCII, / follows on .


def stem_of(path: bytes) -> bytes:
    """Return a path without its extension."""
    return os.path.splitext(path)[0]


def sidecar_stems(path: bytes) -> list[bytes]:
    """Return the names without extension that the recording of a sidecar may have, nearest first.

    Time stamps are often called NAME.en.vtt or NAME.wav.srt.

    >>> sidecar_stems(b"talk.en.vtt"), sidecar_stems(b"talk.en.txt")
    ([b'talk.en', b'talk'], [b'talk.en'])
    """
    stem = stem_of(path)
    is_short = len(os.path.splitext(stem)[1]) <= _LONGEST_SUFFIX
    return [stem, stem_of(stem)] if path.lower().endswith(TIMED) and stem_of(stem) != stem and is_short else [stem]


def composed(path: bytes) -> bytes:
    """Return a path in Unicode's form NFC, in which names are compared: some systems write an e and its accent apart.

    >>> composed("e\N{COMBINING ACUTE ACCENT}.wav".encode()) == "\N{LATIN SMALL LETTER E WITH ACUTE}.wav".encode()
    True
    """
    return path if path.isascii() else os.fsencode(unicodedata.normalize("NFC", os.fsdecode(path)))


def _both_forms(path: bytes) -> tuple[bytes, bytes | None]:
    normal = composed(path)
    return path, normal if normal != path else None


def as_recording(row: tuple[Any, ...]) -> Recording:
    """Return the recording of a row of COLUMNS."""
    path, source, size, sha256, *metadata, error, etag, shares_key, segments, stamp = row
    timed = tuple(TimedText(*values) for values in json.loads(segments)) if segments else ()
    known = Metadata(*metadata)
    return Recording(os.fsdecode(path), source, size, sha256, known, error, etag, bool(shares_key), timed, stamp)


def segments_as_json(segments: Iterable[TimedText]) -> str | None:
    """Return the time-stamped texts of a recording as its row holds them, None for none."""
    values = [[s.start_s, s.end_s, s.text, s.speaker] for s in segments]
    return json.dumps(values, ensure_ascii=False) if values else None


def printable(path: str) -> str:
    r"""Return a path as valid UTF-8; bytes that are not UTF-8 become \xNN.

    >>> printable("caf\udce9.wav")
    'caf\\xe9.wav'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
