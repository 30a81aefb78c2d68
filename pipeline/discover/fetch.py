"""Recordings of a bucket as local files, downloaded a group at a time."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from clean_corpus.pipeline.core.compute_lock import release_compute_lock
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.base import StorageError, explain_disk_errors
from clean_corpus.pipeline.storage.s3_objects import ObjectChanged, S3Object

THREADS = 8  # parallel downloads


@contextmanager
def local_group(root: Location, group: Sequence[Recording], config: S3Config) -> Iterator[tuple[Path, list[Recording]]]:
    """Give a folder that holds a group of recordings in the block, and the group itself.

    Recordings of a bucket have their hash then; one that cannot be downloaded, or is not what was listed, has an error.

    Raises: StorageError if the service fails for good; ConfigError if the credentials do.
    """
    if isinstance(root, Path):
        yield base_folder(root), list(group)
        return
    folder = _base_prefix(root, config)
    readable = [r for r in group if not r.error]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary)
        objects = [S3Object(folder.bucket, folder.key(r.path), r.etag, r.size) for r in readable]
        errors = dict(zip((r.path for r in readable), fetch_objects(folder, objects, target, config), strict=True))
        yield target, [_with_hash(r, target, errors.get(r.path)) for r in group]


def base_folder(root: Path) -> Path:
    """Return the folder that paths of recordings are relative to: the input itself, or the folder of an input file."""
    return root if root.is_dir() else root.parent


@cache
def _base_prefix(root: S3Folder, config: S3Config) -> S3Folder:
    """Return the same for a bucket: the prefix itself, or the one of an object."""
    below = s3_objects.list_objects(root.bucket, root.key_prefix, config=config)
    return root if next(below, None) else root.parent


def _with_hash(recording: Recording, folder: Path, error: str | None) -> Recording:
    if recording.error or error:
        return replace(recording, error=recording.error or error)
    return replace(recording, sha256=sha256_file(folder / recording.path))


def fetch_objects(folder: S3Folder, objects: Sequence[S3Object], target: Path, config: S3Config) -> list[str | None]:
    """Download objects below a prefix to files of the same names; return for each why it could not be had, or None.

    Raises: StorageError if the service fails for good, or the disk is full; ConfigError if the credentials fail.
    """

    def fetch(found: S3Object) -> str | None:
        path = target / folder.relative(found.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with explain_disk_errors("temporary folder"):
                s3_objects.download(found, path, config)
        except ObjectChanged as error:
            return str(error)
        except DataError as error:
            raise StorageError(f"input {error}; run the same command again: finished work is kept") from None
        except OSError as error:
            return os.strerror(error.errno).lower() if error.errno else str(error)
        return None

    # this thread releases the lock: the threads that download could not, since they do not hold it
    with release_compute_lock(), ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(fetch, objects))


def unsafe_name(path: str) -> str | None:
    """Return why an object's name cannot become a file's below a folder, None if it can.

    >>> unsafe_name("a/../b.wav"), unsafe_name("a/b.wav")
    ('its name points outside the folder', None)
    """
    return "its name points outside the folder" if {"", ".", ".."} & set(path.split("/")) else None
