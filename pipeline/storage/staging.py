"""Buckets for commands that work on local files: inputs are downloaded before, outputs are uploaded after.

Each context manager gives a path to work on; for a local location it is the location itself.
"""

import mimetypes
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import DEFAULT_S3, S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.base import StorageError, explain_disk_errors
from clean_corpus.pipeline.storage.s3_objects import S3Object

THREADS = 8  # parallel downloads


@contextmanager
def local_input(where: Location) -> Iterator[Path]:
    """Give a file or folder to read in the block: of a bucket a copy, without the checkpoints of trainings.

    Checkpoints are large, and only the training itself reads them.

    Raises: ConfigError if the location is absent or may not be read; DataError if there is no such bucket.
    """
    if isinstance(where, Path):
        yield where
        return
    with ScratchFolder() as temporary:
        target = Path(temporary, where.name)
        if not download_folder(where, target, lambda name: not name.endswith(".ckpt")):
            found = s3_objects.head(where.bucket, where.prefix, DEFAULT_S3) if where.prefix else None
            if found is None:
                raise ConfigError(f"{where}: no such object, and nothing lies below it")
            _download(S3Object(where.bucket, where.prefix, found.etag, found.size), target, DEFAULT_S3)
        with rename_in_errors(target, where):
            yield target


@contextmanager
def output_folder(where: Location) -> Iterator[Path]:
    """Give a folder to write in the block; for a bucket, upload it when the block ends without an error, pages last.

    Other objects of that folder stay.

    Raises: ConfigError before any work if there is no such bucket; StorageError if it cannot be written.
    """
    if isinstance(where, Path):
        yield where
        return
    require_bucket(where)
    with ScratchFolder() as temporary:
        target = Path(temporary, where.name)
        target.mkdir()
        with rename_in_errors(target, where):
            yield target
        files = sorted((p for p in target.rglob("*") if p.is_file()), key=lambda p: (p.suffix == ".html", p))
        for path in files:
            with path.open("rb") as file:
                upload(file, where, path.relative_to(target).as_posix())


@contextmanager
def output_file(where: Location) -> Iterator[Path]:
    """Give the path of one file to write in the block, as `output_folder`; an object of that name is downloaded before.

    Raises: as `output_folder`; ConfigError if the location is a whole bucket.
    """
    if isinstance(where, S3Folder) and not where.prefix:
        raise ConfigError(f"{where}: a whole bucket; add the name of a file")
    with output_folder(where.parent) as folder:
        if isinstance(where, S3Folder) and (found := s3_objects.head(where.bucket, where.prefix, DEFAULT_S3)):
            present = S3Object(where.bucket, where.prefix, found.etag, found.size)
            _download(present, folder / where.name, DEFAULT_S3)
        yield folder / where.name


def require_bucket(where: S3Folder) -> None:
    """Refuse an output whose bucket cannot be listed, before any work is done for it.

    Raises: ConfigError if the bucket is absent, may not be listed or cannot be reached.
    """
    try:
        next(s3_objects.list_objects(where.bucket, where.key_prefix), None)
    except DataError as error:
        raise ConfigError(f"output {error}; choose a bucket that is there") from None


def download_folder(root: S3Folder, target: Path, wanted: Callable[[str], bool] = bool) -> list[str]:
    """Write the objects below a prefix to files of the same names below `target`; return the names, sorted.

    Only names for which `wanted` returns true are downloaded.

    Raises: DataError if a name points outside the folder, or an object cannot be read.
    """
    objects = objects_below(root, wanted)
    download_objects(objects, target, DEFAULT_S3)
    return sorted(objects)


def objects_below(root: S3Folder, wanted: Callable[[str], bool] = bool) -> dict[str, S3Object]:
    """Return the objects below a prefix by their names there.

    Raises: DataError if a name points outside the folder, or the bucket cannot be listed.
    """
    named = ((root.relative(o.key), o) for o in s3_objects.list_objects(root.bucket, root.key_prefix))
    objects = {name: o for name, o in named if not name.endswith("/") and wanted(name)}
    for name in objects:
        if problem := s3_objects.unsafe_name(name):
            raise DataError(f"{root}: {problem}: {name!r}")
    return objects


def download_objects(objects: Mapping[str, S3Object], target: Path, config: S3Config) -> None:
    """Write objects to files below `target`, each under its name in the mapping, several at a time.

    Raises: DataError if an object cannot be read; StorageError if the disk is full.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda name: _download(objects[name], target / name, config), objects):
            pass


def _download(source: S3Object, target: Path, config: S3Config) -> None:
    with explain_disk_errors("temporary folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        s3_objects.download(source, target, config)


def upload(file: BinaryIO, root: S3Folder, name: str) -> None:
    """Put an open file as the object `name` below a prefix.

    Raises: StorageError if it cannot be written; ConfigError if the service refuses before anything was done.
    """
    try:
        s3_objects.upload(file, root.bucket, root.key(name), DEFAULT_S3, mimetypes.guess_type(name)[0])
    except DataError as error:
        raise StorageError(f"output {error}; run the same command again: finished work is kept") from None


@contextmanager
def rename_in_errors(folder: Path, where: S3Folder) -> Iterator[None]:
    """Write the location in place of its temporary folder in the message of any error raised in the block."""
    try:
        yield
    except CleanCorpusError as error:
        if str(folder) not in str(error):
            raise
        raise type(error)(str(error).replace(str(folder), str(where))) from None
