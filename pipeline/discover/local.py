"""Recordings in a local folder: found by walking it, told apart by their hash."""

import errno
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import manifests
from clean_corpus.pipeline.discover.fetch import base_folder
from clean_corpus.pipeline.discover.recordings import add

_HASH_THREADS = 4
_WINDOW = 1024  # files that are hashed before their hashes are written down
_ERRORS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symlink loop",
    errno.ENOENT: "broken link",
}


def find_in_folder(root: Path, db: sqlite3.Connection, exclude: Path | None) -> None:
    if not os.path.exists(root):
        raise ConfigError(f"input {root}: no such file or folder")
    if exclude is not None and root.resolve() == exclude.resolve():
        raise ConfigError(f"output {exclude} is the input folder itself; choose another folder, which may lie inside")
    folder, only = base_folder(root), None
    if root.is_dir() or manifests.is_manifest(root.name):
        only = None if root.is_dir() else root.name
        add(db, ((path, error, 0, None) for path, error in _walk(folder, exclude, db)))
    else:
        beside = [root, *(note for suffix in (".txt", ".json") if (note := root.with_suffix(suffix)).is_file())]
        add(db, ((path.name, None, 0, None) for path in beside))
    manifests.read_all(db, lambda _: nullcontext(folder), only=only)
    _hash(db, folder)


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


def verify_unchanged(base: Path, recording: Recording) -> Recording:
    """The recording as it was found, or with an error if it was changed or taken away since."""
    if recording.error:
        return recording
    _, sha256, error = _content(base / recording.path)
    if sha256 == recording.sha256:
        return recording
    return replace(recording, error=f"source changed: {error or 'it is not what was found'}; run again")


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
