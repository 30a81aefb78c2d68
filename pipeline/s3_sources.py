"""Recordings in a bucket: found by listing, fetched a group at a time."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from pipeline import manifests, s3
from pipeline.clip import Metadata, Recording
from pipeline.config import S3Config
from pipeline.errors import ConfigError, DataError
from pipeline.places import Place, S3Folder
from pipeline.s3 import NotAsListed, S3Object
from pipeline.sources import base, printable, recordings
from pipeline.storage import StorageError, explained, sha256_file
from pipeline.turns import waiting

THREADS = 8  # that fetch side by side


def discover_objects(root: S3Folder, exclude: S3Folder | None, config: S3Config) -> list[Recording]:
    """What `sources.discover` says of a folder, an object or a manifest in a bucket; only manifests are fetched.

    Raises: ConfigError if there is nothing, or it may not be listed.
    """
    folder, objects = root, _below(root, exclude, config)
    only = None
    if not objects:
        folder, only = _parent(root), root.name
        beside = _below(folder, exclude, config)
        stem = os.path.splitext(only)[0]
        wanted = beside if manifests.is_manifest(only) else [o for o in beside if os.path.splitext(o)[0] == stem]
        objects = {path: beside[path] for path in wanted}
        if only not in objects:
            raise ConfigError(f"input {root}: no such object, and nothing lies below it")
    found = {path: _unsafe(path) for path in objects}

    def make(path: str, metadata: Metadata, error: str | None) -> Recording:
        listed = objects.get(path)
        size, etag = (listed.size, listed.etag) if listed else (0, None)
        return Recording(path, printable(path), size, None, metadata, error, etag)

    with tempfile.TemporaryDirectory() as temporary:
        _fetch_all(folder, [objects[p] for p in _notes(found)], Path(temporary), config)
        manifest = only if only and manifests.is_manifest(only) else None
        return recordings(Path(temporary), found, make, only=manifest)


def _below(root: S3Folder, exclude: S3Folder | None, config: S3Config) -> dict[str, S3Object]:
    start = s3.folder_of(root)
    excluded = s3.folder_of(exclude) if exclude and exclude.bucket == root.bucket else None
    found = {}
    for listed in s3.listed(root.bucket, start, config=config):
        path = listed.key[len(start) :]
        hidden = any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))
        if path and not path.endswith("/") and not hidden and not (excluded and listed.key.startswith(excluded)):
            found[path] = listed
    return found


def _parent(root: S3Folder) -> S3Folder:
    return S3Folder(root.bucket, root.prefix.rpartition("/")[0])


def _unsafe(path: str) -> str | None:
    parts = path.split("/")
    return "its name points outside the folder" if {"", ".", ".."} & set(parts) else None


def _notes(found: dict[str, str | None]) -> list[str]:
    """Manifests, and sidecars of something."""
    stems: dict[str, int] = {}
    for path in found:
        stem = os.path.splitext(path)[0]
        stems[stem] = stems.get(stem, 0) + 1
    return [
        path
        for path, error in found.items()
        if not error
        and (manifests.is_manifest(path) or (path.endswith((".txt", ".json")) and stems[os.path.splitext(path)[0]] > 1))
    ]


def _fetch_all(folder: S3Folder, objects: Sequence[S3Object], target: Path, config: S3Config) -> list[str | None]:
    """Objects to files of the same names; per object why it could not be had."""
    start = len(s3.folder_of(folder))

    def fetch(listed: S3Object) -> str | None:
        path = target / listed.key[start:]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with explained("temporary folder"):
                s3.download(listed, path, config)
        except NotAsListed as error:
            return str(error)
        except DataError as error:
            raise StorageError(f"input {error}; run the same command again: finished work is kept") from None
        except OSError as error:
            return os.strerror(error.errno).lower() if error.errno else str(error)
        return None

    with waiting(), ThreadPoolExecutor(THREADS) as threads:  # a turn is this thread's: theirs could not give it away
        return list(threads.map(fetch, objects))


@contextmanager
def at_hand(root: Place, group: Sequence[Recording], config: S3Config) -> Iterator[tuple[Path, list[Recording]]]:
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
    return root if next(s3.listed(root.bucket, s3.folder_of(root), config=config), None) else _parent(root)


def _learnt(recording: Recording, target: Path, error: str | None) -> Recording:
    if recording.error or error:
        return replace(recording, error=recording.error or error)
    return replace(recording, sha256=sha256_file(target / recording.path))
