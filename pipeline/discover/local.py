"""What lies below INPUT: one Recording per file or object, or per name in a manifest, whether or not it can be read."""

import errno
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Metadata, Recording
from clean_corpus.pipeline.discover import manifests

_HASH_THREADS = 4
_WINDOW = 1024  # files that are hashed before their hashes are written down
WITHOUT = S3Config()
_ERRORS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symlink loop",
    errno.ENOENT: "broken link",
}
_FOUND = """
CREATE TABLE found (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE, -- os.fsencode
    source TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0, sha256 TEXT, etag TEXT, error TEXT,
    text TEXT, speaker TEXT, licence TEXT, consent TEXT,
    listed INTEGER NOT NULL DEFAULT 1 -- 0: it is no recording, but says something of one, or was not asked for
)
"""
COLUMNS = "found.path, source, size, sha256, text, speaker, licence, consent, error, etag"


class Recordings:
    """What `find` put into a database, in the order of the paths' bytes; each iteration reads it anew, row by row."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._count: int = db.execute("SELECT count(*) FROM found WHERE listed").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Recording]:
        yield from map(as_recording, self.db.execute(f"SELECT {COLUMNS} FROM found WHERE listed ORDER BY path"))

    def absent(self, sources: str) -> tuple[int, list[str]]:
        """How many recordings' `source` column `source` of a table lacks, and the first three of them, sorted.

        The table is in the same database and holds text; NULL and what is named twice do no harm.
        """
        lacking = (
            f"FROM found LEFT JOIN {sources} AS there ON there.source = found.source "
            "WHERE found.listed AND there.source IS NULL"
        )
        (count,) = self.db.execute(f"SELECT count(*) {lacking}").fetchone()
        first = self.db.execute(f"SELECT found.source {lacking} ORDER BY found.source LIMIT 3") if count else ()
        return count, [source for (source,) in first]


def as_recording(row: tuple[Any, ...]) -> Recording:
    """A row of COLUMNS."""
    path, source, size, sha256, *says, error, etag = row
    return Recording(os.fsdecode(path), source, size, sha256, Metadata(*says), error, etag)


def discover(root: Location, *, exclude: Location | None, s3: S3Config = WITHOUT) -> list[Recording]:
    """What `find` finds, in memory.

    Raises: as `find`.
    """
    with scratch_database() as db:
        return list(find(root, db, exclude=exclude, s3=s3))


def find(root: Location, db: sqlite3.Connection, *, exclude: Location | None, s3: S3Config = WITHOUT) -> Recordings:
    """Every file below a folder, or one file, or what one manifest names; once into one database.

    Paths are relative to `root`, or to its folder if it is a file. Hidden files and folders (leading dot) and the
    folder `exclude` are passed over; links are followed. Manifests and sidecars (see manifests.py) have no row of
    their own unless they are malformed; what they name and is not there has one. Any other file is a recording until
    its decoding says otherwise.
    Raises: ConfigError if `root` is missing or is `exclude`.
    """
    db.execute(_FOUND)
    if isinstance(root, S3Folder):
        from clean_corpus.pipeline.discover.s3_objects import find_in_bucket

        find_in_bucket(root, db, exclude if isinstance(exclude, S3Folder) else None, s3)
    else:
        _find_files(root, db, exclude if isinstance(exclude, Path) else None)
    return Recordings(db)


def _find_files(root: Path, db: sqlite3.Connection, exclude: Path | None) -> None:
    if not os.path.exists(root):
        raise ConfigError(f"input {root}: no such file or folder")
    if exclude is not None and root.resolve() == exclude.resolve():
        raise ConfigError(f"output {exclude} is the input folder itself; choose another folder, which may lie inside")
    folder, only = base(root), None
    if root.is_dir() or manifests.is_manifest(root.name):
        only = None if root.is_dir() else root.name
        add(db, ((path, error, 0, None) for path, error in _walk(folder, exclude, db)))
    else:
        beside = [root, *(note for suffix in (".txt", ".json") if (note := root.with_suffix(suffix)).is_file())]
        add(db, ((path.name, None, 0, None) for path in beside))
    manifests.read_all(db, lambda _: nullcontext(folder), only=only)
    _hash(db, folder)


def add(db: sqlite3.Connection, found: Iterable[tuple[str, str | None, int, str | None]]) -> None:
    """Put (path, why it cannot be read, bytes, etag) into the database; of two with one path the later one counts."""
    db.executemany(
        "INSERT OR REPLACE INTO found (path, source, error, size, etag) VALUES (?, ?, ?, ?, ?)",
        ((os.fsencode(path), printable(path), *rest) for path, *rest in found),
    )


def _hash(db: sqlite3.Connection, folder: Path) -> None:
    """Sizes and hashes of what has no error so far, or why it cannot be read."""
    start, last = os.fsencode(folder), b""
    query = "SELECT path FROM found WHERE path > ? AND listed AND error IS NULL ORDER BY path LIMIT ?"
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        while window := [path for (path,) in db.execute(query, (last, _WINDOW))]:
            read = pool.map(lambda path: (*_content(os.path.join(start, path)), path), window)
            db.executemany("UPDATE found SET size = ?, sha256 = ?, error = ? WHERE path = ?", read)
            last = window[-1]


def _content(path: bytes | Path) -> tuple[int, str | None, str | None]:
    """Size and hash of a file, and why it cannot be read."""
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), sha256, None
    except OSError as error:
        return 0, None, _reason(error)


def still_there(base: Path, recording: Recording) -> Recording:
    """The recording as it was found, or with an error if it was changed or taken away since."""
    if recording.error:
        return recording
    _, sha256, error = _content(base / recording.path)
    if sha256 == recording.sha256:
        return recording
    return replace(recording, error=f"source changed: {error or 'it is not what was found'}; run again")


def printable(path: str) -> str:
    r"""A path as valid UTF-8: bytes that are not UTF-8 become \xNN.

    >>> printable("caf\udce9.wav")
    'caf\\xe9.wav'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _reason(error: OSError) -> str:
    return _ERRORS.get(error.errno, (error.strerror or str(error)).lower())


def _walk(base: Path, exclude: Path | None, db: sqlite3.Connection) -> Iterator[tuple[str, str | None]]:
    """Path relative to `base`, and why it cannot be read or None, of every file; folders wait in the database."""
    excluded = _identity(os.stat(exclude)) if exclude is not None and exclude.exists() else None
    db.execute("CREATE TABLE folder (number INTEGER PRIMARY KEY, path BLOB, ancestors TEXT)")
    put = "INSERT INTO folder (path, ancestors) VALUES (?, ?)"
    db.execute(put, (b"", _identity(os.stat(base))))
    while waiting := db.execute("SELECT * FROM folder ORDER BY number DESC LIMIT 1").fetchone():
        number, encoded, ancestors = waiting
        db.execute("DELETE FROM folder WHERE number = ?", (number,))
        folder = os.fsdecode(encoded)
        try:
            with os.scandir(base / folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = os.path.join(folder, entry.name)
                    try:
                        status = entry.stat()
                    except OSError as error:
                        yield path, _reason(error)
                        continue
                    if stat.S_ISREG(status.st_mode):
                        yield path, None
                    elif not stat.S_ISDIR(status.st_mode):
                        yield path, "not a regular file"
                    elif (identity := _identity(status)) in ancestors.split():
                        yield path, "symlink loop"
                    elif identity != excluded:
                        db.execute(put, (os.fsencode(path), f"{ancestors} {identity}"))
        except OSError as error:
            yield folder or ".", _reason(error)


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def base(root: Path) -> Path:
    """The folder that the paths of `find(root)` are relative to, of a file or folder."""
    return root if root.is_dir() else root.parent
