"""Recordings in a bucket, and their clean twins: found by listing, fetched a group at a time."""

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

from clean_corpus.pipeline.core.compute_lock import release_compute_lock
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import manifests
from clean_corpus.pipeline.discover.local import add, base
from clean_corpus.pipeline.storage import s3_client
from clean_corpus.pipeline.storage.base import StorageError, explained, sha256_file
from clean_corpus.pipeline.storage.s3_client import NotAsListed, S3Object

THREADS = 8  # that fetch side by side


def find_in_bucket(root: S3Folder, db: sqlite3.Connection, exclude: S3Folder | None, config: S3Config) -> None:
    """What `sources.find` says of a folder, an object or a manifest in a bucket; only manifests are fetched.

    Raises: ConfigError if there is nothing, or it may not be listed.
    """
    folder, only = root, None
    add(db, _below(root, exclude, config))
    if not db.execute("SELECT 1 FROM found").fetchone():
        folder, only = root.parent, root.name if manifests.is_manifest(root.name) else None
        stem = os.path.splitext(root.name)[0]
        add(db, (o for o in _below(folder, exclude, config) if only or os.path.splitext(o[0])[0] == stem))
        if not db.execute("SELECT 1 FROM found WHERE path = ?", (os.fsencode(root.name),)).fetchone():
            raise ConfigError(f"input {root}: no such object, and nothing lies below it")

    def listed(path: str) -> S3Object:
        about = db.execute("SELECT etag, size FROM found WHERE path = ?", (os.fsencode(path),)).fetchone()
        return S3Object(folder.bucket, folder.key(path), *about)

    @contextmanager
    def fetched(paths: Sequence[str]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as temporary:
            _fetch_all(folder, [listed(path) for path in paths], Path(temporary), config)
            yield Path(temporary)

    manifests.read_all(db, fetched, only=only)


def _below(
    root: S3Folder, exclude: S3Folder | None, config: S3Config
) -> Iterator[tuple[str, str | None, int, str | None]]:
    """(path, why it cannot be read, bytes, etag) of every object below that is not hidden."""
    start = s3_client.folder_of(root)
    excluded = s3_client.folder_of(exclude) if exclude and exclude.bucket == root.bucket else None
    for listed in s3_client.listed(root.bucket, start, config=config):
        path = listed.key[len(start) :]
        hidden = any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))
        if path and not path.endswith("/") and not hidden and not (excluded and listed.key.startswith(excluded)):
            yield path, _unsafe(path), listed.size, listed.etag


def _unsafe(path: str) -> str | None:
    parts = path.split("/")
    return "its name points outside the folder" if {"", ".", ".."} & set(parts) else None


def _fetch_all(folder: S3Folder, objects: Sequence[S3Object], target: Path, config: S3Config) -> list[str | None]:
    """Objects to files of the same names; per object why it could not be had."""
    start = len(s3_client.folder_of(folder))

    def fetch(listed: S3Object) -> str | None:
        path = target / listed.key[start:]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with explained("temporary folder"):
                s3_client.download(listed, path, config)
        except NotAsListed as error:
            return str(error)
        except DataError as error:
            raise StorageError(f"input {error}; run the same command again: finished work is kept") from None
        except OSError as error:
            return os.strerror(error.errno).lower() if error.errno else str(error)
        return None

    with (
        release_compute_lock(),
        ThreadPoolExecutor(THREADS) as threads,
    ):  # a turn is this thread's: theirs could not give it away
        return list(threads.map(fetch, objects))


@contextmanager
def at_hand(root: Location, group: Sequence[Recording], config: S3Config) -> Iterator[tuple[Path, list[Recording]]]:
    """A folder where a group of recordings lies for the length of the block, and the group with what was learnt of it.

    What could not be fetched, or is not what was listed, has an error.
    Raises: StorageError if the service fails for good; ConfigError if the credentials do.
    """
    if isinstance(root, Path):
        yield base(root), list(group)
        return
    folder = _folder(root, config)
    readable = [r for r in group if not r.error]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary)
        objects = [S3Object(folder.bucket, folder.key(r.path), r.etag, r.size) for r in readable]
        errors = dict(zip((r.path for r in readable), _fetch_all(folder, objects, target, config), strict=True))
        yield target, [_learnt(r, target, errors.get(r.path)) for r in group]


@cache
def _folder(root: S3Folder, config: S3Config) -> S3Folder:
    """What the paths of recordings are relative to: the folder, or the one that an object lies in."""
    return root if next(s3_client.listed(root.bucket, s3_client.folder_of(root), config=config), None) else root.parent


def _learnt(recording: Recording, target: Path, error: str | None) -> Recording:
    if recording.error or error:
        return replace(recording, error=recording.error or error)
    return replace(recording, sha256=sha256_file(target / recording.path))


# ---- clean twins -----------------------------------------------------------------------------------------------

SUFFIXES = (".wav", ".flac")  # that a twin may have, whatever its source has


def refuse_absent(folder: Location, what: str, config: S3Config) -> None:
    """Raises: ConfigError if there is no such folder; DataError if there is no such bucket."""
    if isinstance(folder, Path):
        there: object = folder.is_dir()
    else:
        there = next(s3_client.listed(folder.bucket, s3_client.folder_of(folder), config=config), None)
    if not there:
        raise ConfigError(f"{what} {folder}: no such folder")


@contextmanager
def twins_at_hand(clean_dir: Location | None, sources: Iterable[str], config: S3Config) -> Iterator[dict[str, Path]]:
    """The clean recordings of the same relative names, by source, for the length of the block; none for some.

    Raises: DataError if one in a bucket cannot be had as it was listed; StorageError and ConfigError as `at_hand`.
    """
    names = dict.fromkeys(sources)
    if not isinstance(clean_dir, S3Folder):
        yield {name: twin for name in names if clean_dir and (twin := _local_twin(clean_dir, name))}
        return
    with release_compute_lock(), ThreadPoolExecutor(THREADS) as threads:
        found = dict(zip(names, threads.map(lambda name: _listed_twin(clean_dir, name, config), names), strict=True))
    objects = sorted({twin for twin in found.values() if twin})  # two sources may have one
    start = len(s3_client.folder_of(clean_dir))
    with tempfile.TemporaryDirectory() as temporary:
        for twin, error in zip(objects, _fetch_all(clean_dir, objects, Path(temporary), config), strict=True):
            if error:
                raise DataError(f"clean twin {twin}: {error}")
        yield {name: Path(temporary, twin.key[start:]) for name, twin in found.items() if twin}


def _local_twin(folder: Path, source: str) -> Path | None:
    stem = (folder / source).with_suffix("")
    return next((p for suffix in SUFFIXES if (p := stem.with_name(stem.name + suffix)).is_file()), None)


def _listed_twin(folder: S3Folder, source: str, config: S3Config) -> S3Object | None:
    stem = str(PurePosixPath(source).with_suffix(""))
    if _unsafe(stem):
        return None
    there = {o.key: o for o in s3_client.listed(folder.bucket, folder.key(f"{stem}."), config=config)}
    return next((twin for suffix in SUFFIXES if (twin := there.get(folder.key(stem + suffix)))), None)
