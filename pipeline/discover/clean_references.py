"""Clean references: recordings of the same relative name in a folder of clean versions, local or in a bucket."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.compute_lock import wait_without_turn
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.discover.fetch import THREADS, fetch_objects
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.s3_objects import S3Object

SUFFIXES = (".wav", ".flac")  # that a clean reference may have, whatever its source has

Reference = Path | DataError
"""The file of a clean reference, or why it cannot be had."""


def require_folder(folder: Location, setting: str, config: S3Config) -> None:
    """Refuse a setting that names an absent folder.

    Raises: ConfigError if there is no such folder; DataError if there is no such bucket.
    """
    if isinstance(folder, Path):
        exists = folder.is_dir()
    else:
        exists = next(s3_objects.list_objects(folder.bucket, folder.key_prefix, config=config), None) is not None
    if not exists:
        raise ConfigError(f"{setting} {folder}: no such folder")


@contextmanager
def local_references(
    clean_dir: Location | None, sources: Iterable[str], config: S3Config
) -> Iterator[dict[str, Reference]]:
    """Give the clean references of recordings, by `source`, as files for the length of the block.

    A recording without one is not in the dictionary; one that is archived, or changed since it was listed, is there as
    the error that says so.
    Raises: StorageError and ConfigError as `local_group`.
    """
    names = dict.fromkeys(sources)
    if not isinstance(clean_dir, S3Folder):
        found_here = ((name, clean_dir and _find_local(clean_dir, name)) for name in names)
        yield {name: _readable(path) for name, path in found_here if path}
        return
    with wait_without_turn(), ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(lambda name: _find_in_bucket(clean_dir, name, config), names)
        by_source = {name: reference for name, reference in zip(names, found, strict=True) if reference}
    objects = sorted(set(by_source.values()))  # two sources may share one
    with ScratchFolder() as temporary:
        errors = fetch_objects(clean_dir, objects, Path(temporary), config)
        fetched: dict[S3Object, Reference] = {
            found: DataError(f"clean reference {found}: {error}")
            if error
            else Path(temporary, clean_dir.relative(found.key))
            for found, error in zip(objects, errors, strict=True)
        }
        yield {name: fetched[found] for name, found in by_source.items()}


def _readable(path: Path) -> Reference:
    return path if os.access(path, os.R_OK) else DataError(f"clean reference {path}: permission denied")


def _find_local(folder: Path, source: str) -> Path | None:
    paths = (folder / f"{stem}{suffix}" for stem in _stems(source) for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _find_in_bucket(folder: S3Folder, source: str, config: S3Config) -> S3Object | None:
    if s3_objects.unsafe_name(source):
        return None
    for stem in _stems(source):
        below = s3_objects.list_objects(folder.bucket, folder.key(f"{stem}."), config=config)
        objects = {o.key: o for o in below}
        for suffix in SUFFIXES:
            if found := objects.get(folder.key(stem + suffix)):
                return found
    return None


def _stems(source: str) -> list[str]:
    """Return a name without its extension, as it is and in Unicode's composed and decomposed forms."""
    stem = os.path.splitext(source)[0]
    return list(dict.fromkeys((stem, *(unicodedata.normalize(form, stem) for form in ("NFC", "NFD")))))
