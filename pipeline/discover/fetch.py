"""Recordings of a bucket as local files, downloaded a group at a time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.compute_lock import wait_without_turn
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.base import StorageError, explain_disk_errors
from clean_corpus.pipeline.storage.s3_objects import ObjectUnavailable, S3Object

THREADS = 8  # parallel downloads


@contextmanager
def local_group(root: Location, group: Sequence[Recording], config: S3Config) -> Iterator[tuple[Path, list[Recording]]]:
    """Give a folder that holds a group of recordings in the block, and the group itself.

    Recordings of a bucket have their hash then; one that cannot be downloaded, or is not what was listed, has an error.

    Raises: StorageError if the service fails for good, or refuses amid the work; ConfigError if it refuses at once.
    """
    if isinstance(root, Path):
        yield base_folder(root), list(group)
        return
    folder = base_prefix(root, config)
    readable = [r for r in group if not r.error]
    with ScratchFolder() as temporary:
        target = Path(temporary)
        objects = [S3Object(folder.bucket, folder.key(r.path), r.etag, r.size) for r in readable]
        errors = dict(zip((r.path for r in readable), fetch_objects(folder, objects, target, config), strict=True))
        yield target, [_with_hash(r, target, errors.get(r.path)) for r in group]


def base_folder(root: Path) -> Path:
    """Return the folder that paths of recordings are relative to: the input itself, or the folder of an input file."""
    return root if root.is_dir() else root.parent


@cache
def base_prefix(root: S3Folder, config: S3Config) -> S3Folder:
    """Return the same for a bucket: the prefix itself, or the one of an object."""
    below = s3_objects.list_objects(root.bucket, root.key_prefix, config=config)
    return root if next(below, None) else root.parent


def _with_hash(recording: Recording, folder: Path, error: str | None) -> Recording:
    if recording.error or error:
        return replace(recording, error=recording.error or error)
    return replace(recording, sha256=sha256_file(folder / recording.path))


def fetch_objects(folder: S3Folder, objects: Sequence[S3Object], target: Path, config: S3Config) -> list[str | None]:
    """Download objects below a prefix to files of the same names; return for each why it could not be had, or None.

    Raises: StorageError if the service fails for good, refuses amid the work, or the disk is full; ConfigError if the
    service refuses at once.
    """

    def fetch(found: S3Object) -> str | DataError | None:
        path = target / folder.relative(found.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with explain_disk_errors("temporary folder"):
                s3_objects.download(found, path, config)
        except ObjectUnavailable as error:
            return str(error)
        except DataError as error:
            return error
        except OSError as error:
            return os.strerror(error.errno).lower() if error.errno else str(error)
        return None

    # this thread gives its turn back: the threads that download could not, since they have none
    with wait_without_turn(), ThreadPoolExecutor(THREADS) as threads:
        ends = list(threads.map(fetch, objects))
    failures = [end for end in ends if isinstance(end, DataError)]
    if failures and not _is_of_some_objects(folder, failures, len(objects), config):
        raise StorageError(f"input {failures[0]}; run the same command again: finished work is kept") from None
    return [f"cannot be read: {end}" if isinstance(end, DataError) else end for end in ends]


def _is_of_some_objects(folder: S3Folder, failures: Sequence[DataError], total: int, config: S3Config) -> bool:
    """Return whether requests failed for good because of their objects: others come, and the service answers now."""
    if len(failures) == total > 1:
        return False
    try:
        next(s3_objects.list_objects(folder.bucket, folder.key_prefix, config=config), None)
    except DataError:
        return False
    return True
