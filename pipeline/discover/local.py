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

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import manifests
from clean_corpus.pipeline.discover.fetch import base_folder
from clean_corpus.pipeline.discover.hashes import stamp_of
from clean_corpus.pipeline.discover.manifest_formats import manifest_kind
from clean_corpus.pipeline.discover.outputs import EXPORT_MARK, EXPORT_STATE, pass_over_outputs
from clean_corpus.pipeline.discover.recordings import SIDECARS, add, composed, sidecar_stems, stem_of

_HASH_THREADS = 4
_WINDOW = 1024  # files that are hashed before their hashes are written down
_ERRORS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symlink loop",
    errno.ENOENT: "broken link",
}


def find_in_folder(
    root: Path, db: sqlite3.Connection, exclude: Path | None, manifest: ManifestConfig = DEFAULT_MANIFEST
) -> None:
    """Put the recordings of a local folder, of one file or of one manifest into table `found`, with their hashes.

    Raises: ConfigError if `root` is absent, is `exclude`, or is the output of another run.
    """
    if not os.path.exists(root):
        raise ConfigError(f"input {root}: no such file or folder")
    if exclude is not None and root.resolve() == exclude.resolve():
        raise ConfigError(f"output {exclude} is the input folder itself; choose another folder, which may lie inside")
    folder, only = base_folder(root), None
    if root.is_dir() or manifest_kind(root.name, manifest):
        only = None if root.is_dir() else root.name
        add(db, ((path, error, 0, None) for path, error in _walk(folder, exclude, db)))
        if not only:
            pass_over_outputs(db, root)
    else:
        add(db, ((name, None, 0, None) for name in (root.name, *_sidecars(root))))
    manifests.read_all(db, lambda _: nullcontext(folder), root=folder, only=only, config=manifest)
    _hash_files(db, folder)


def _sidecars(file: Path) -> Iterator[str]:
    """Yield the names of the sidecars beside a file, which may be written in another Unicode normalisation."""
    stem = composed(stem_of(os.fsencode(file.name)))
    for name in map(os.fsencode, os.listdir(file.parent)):
        stems = map(composed, sidecar_stems(name))
        if name.lower().endswith(SIDECARS) and stem in stems and os.fsdecode(name) != file.name:
            yield os.fsdecode(name)


def verify_unchanged(folder: Path, recording: Recording) -> Recording:
    """Return the recording as it was found, or with an error if its file was changed or taken away since."""
    if recording.error:
        return recording
    _, sha256, error, _ = _hashed(folder / recording.path, (recording.size, recording.stamp, recording.sha256))
    if sha256 == recording.sha256:
        return recording
    return replace(recording, error=f"source changed: {error or 'it is not what was found'}; run again")


def _hash_files(db: sqlite3.Connection, folder: Path) -> None:
    """Write size, hash and stamp of each recording without an error to its row, or why it cannot be read."""
    start, last = os.fsencode(folder), b""
    query = (
        "SELECT path, hashed.size, hashed.stamp, hashed.sha256 FROM found LEFT JOIN hashed USING (path) "
        "WHERE path > ? AND listed AND error IS NULL ORDER BY path LIMIT ?"
    )
    update = "UPDATE found SET size = ?, sha256 = ?, error = ?, stamp = ? WHERE path = ?"
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        while window := db.execute(query, (last, _WINDOW)).fetchall():
            rows = pool.map(lambda row: (*_hashed(os.path.join(start, row[0]), row[1:]), row[0]), window)
            db.executemany(update, rows)
            last = window[-1][0]


def _hashed(
    path: bytes | Path, known: tuple[int | None, str | None, str | None]
) -> tuple[int, str | None, str | None, str | None]:
    """Return size and hash of a file, None or why it cannot be read, and its stamp.

    `known` are size, stamp and hash that it had: with the same stamp it has them still.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            stamp = stamp_of(status)
            size, stamp_before, sha256_before = known
            if sha256_before and stamp and (size, stamp_before) == (status.st_size, stamp):
                return status.st_size, sha256_before, None, stamp
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            is_same = stamp_of(os.fstat(file.fileno())) == stamp
            return file.tell(), sha256, None, stamp if is_same else None
    except OSError as error:
        return 0, None, _reason(error), None


def _reason(error: OSError) -> str:
    return _ERRORS.get(error.errno, (error.strerror or str(error)).lower())


def _walk(base: Path, exclude: Path | None, db: sqlite3.Connection) -> Iterator[tuple[str, str | None]]:
    """Yield each file's path relative to `base`, and None or why it cannot be read; folders wait in the database."""
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
                    if entry.name == EXPORT_STATE and os.path.isfile(base / folder / EXPORT_MARK):
                        yield os.path.join(folder, EXPORT_MARK), None
                    if entry.name.startswith("."):
                        continue
                    path = os.path.join(folder, entry.name)
                    identity, error = _examine(entry)
                    if identity is None:
                        yield path, error
                    elif identity in ancestors.split():
                        yield path, "symlink loop"
                    elif identity != excluded:
                        db.execute(put, (os.fsencode(path), f"{ancestors} {identity}"))
        except OSError as error:
            yield folder or ".", _reason(error)


def _examine(entry: os.DirEntry[str]) -> tuple[str | None, str | None]:
    """Return the identity of a folder, or None and, of anything but a readable file, why it cannot be read."""
    try:
        status = entry.stat()
    except OSError as error:
        return None, _reason(error)
    if stat.S_ISDIR(status.st_mode):
        return _identity(status), None
    return None, None if stat.S_ISREG(status.st_mode) else "not a regular file"


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"
