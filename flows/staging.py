"""Buckets for commands that work on local files: what they read is fetched before, what they write is sent after."""

import hashlib
import mimetypes
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from clean_corpus.enhancers import checkpoints
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.locations import SCHEME, Location, S3Folder, parse_location
from clean_corpus.pipeline.storage import s3_client
from clean_corpus.pipeline.storage.base import StorageError, explained
from clean_corpus.pipeline.storage.s3_client import DEFAULTS, S3Object

THREADS = 8  # that fetch side by side


@contextmanager
def at_hand(where: Location) -> Iterator[Path]:
    """A file or folder to read in the block: a local one as it is, what lies in a bucket as a copy.

    Checkpoints of trainings are not copied: they are large, and only the training itself reads them.
    Raises: ConfigError if nothing is there, or it may not be read; DataError if there is no such bucket.
    """
    if isinstance(where, Path):
        yield where
        return
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary, where.name)
        if not fetch(where, target, lambda name: not name.endswith(".ckpt")):
            about = s3_client.head(where.bucket, where.prefix, DEFAULTS) if where.prefix else None
            if about is None:
                raise ConfigError(f"{where}: no such object, and nothing lies below it")
            _download(S3Object(where.bucket, where.prefix, about.etag, about.size), target, DEFAULTS)
        with named(target, where):
            yield target


@contextmanager
def written(where: Location) -> Iterator[Path]:
    """A folder to write in the block; for a bucket one that is sent when the block ends well, pages last.

    What else lies there stays. Raises: ConfigError before any work if there is no such bucket; StorageError if it
    cannot be written.
    """
    if isinstance(where, Path):
        yield where
        return
    check(where)
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary, where.name)
        target.mkdir()
        with named(target, where):
            yield target
        files = sorted((p for p in target.rglob("*") if p.is_file()), key=lambda p: (p.suffix == ".html", p))
        for path in files:
            with path.open("rb") as file:
                send(file, where, path.relative_to(target).as_posix())


@contextmanager
def written_file(where: Location) -> Iterator[Path]:
    """As `written`, for one file; what lies under its name in a bucket lies there in the block too.

    Raises: as `written`; ConfigError if only a bucket is named.
    """
    if isinstance(where, S3Folder) and not where.prefix:
        raise ConfigError(f"{where}: a whole bucket; add the name of a file")
    with written(where.parent) as folder:
        if isinstance(where, S3Folder) and (about := s3_client.head(where.bucket, where.prefix, DEFAULTS)):
            _download(S3Object(where.bucket, where.prefix, about.etag, about.size), folder / where.name, DEFAULTS)
        yield folder / where.name


def check(where: S3Folder) -> None:
    """Raises: ConfigError if the bucket is not there, may not be listed or cannot be reached."""
    try:
        next(s3_client.listed(where.bucket, s3_client.folder_of(where)), None)
    except DataError as error:
        raise ConfigError(f"output {error}; choose a bucket that is there") from None


def fetch(root: S3Folder, target: Path, wanted: Callable[[str], bool] = bool) -> list[str]:
    """Objects below a prefix as files of the same names below a folder; returns the names, sorted.

    `wanted` is asked for each name. Raises: DataError if a name points outside the folder, or an object cannot be read.
    """
    objects = _below(root, wanted)
    _download_all(objects, target, DEFAULTS)
    return sorted(objects)


def _below(root: S3Folder, wanted: Callable[[str], bool] = bool) -> dict[str, S3Object]:
    start = len(s3_client.folder_of(root))
    listed = s3_client.listed(root.bucket, s3_client.folder_of(root))
    objects = {o.key[start:]: o for o in listed if not o.key.endswith("/") and wanted(o.key[start:])}
    for name in objects:
        if {"", ".", ".."} & set(name.split("/")):
            raise DataError(f"{root}: an object's name points outside the folder: {name!r}")
    return objects


def _download_all(objects: Mapping[str, S3Object], target: Path, config: S3Config) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda name: _download(objects[name], target / name, config), objects):
            pass


def _download(found: S3Object, target: Path, config: S3Config) -> None:
    with explained("temporary folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        s3_client.download(found, target, config)


def send(file: BinaryIO, root: S3Folder, name: str) -> None:
    """An open file as a whole object.

    Raises: StorageError if it cannot be written; ConfigError if it may not.
    """
    try:
        s3_client.upload(file, root.bucket, root.key(name), DEFAULTS, mimetypes.guess_type(name)[0])
    except DataError as error:
        raise StorageError(f"output {error}; run the same command again: finished work is kept") from None


@contextmanager
def named(folder: Path, where: S3Folder) -> Iterator[None]:
    """What is raised in the block names the place that a folder stands for."""
    try:
        yield
    except CleanCorpusError as error:
        if str(folder) not in str(error):
            raise
        raise type(error)(str(error).replace(str(folder), str(where))) from None


def weights_cache() -> Path:
    """Where fetched weights and recorded rooms stay, for all later commands of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clean-corpus" / "weights"


@cache
def weights(name: str, config: S3Config = DEFAULTS) -> str:
    """A name or path of weights that `enhancers` and `vocoder` can load; those in a bucket are fetched, once per etag.

    In a bucket: --out of a training, or a .safetensors file, whose card is fetched too, or sgmse+:s3://BUCKET/FILE.
    Within a process a name stands for the same weights for good.

    >>> weights("default-causal")
    'default-causal'

    Raises: ConfigError if there are none; DataError if they cannot be read.
    """
    system, found, rest = name.partition(SCHEME)
    if not found or system not in ("", f"{checkpoints.SGMSE}:"):
        return name
    where = parse_location(found + rest)
    if not system and not where.name.endswith(".safetensors"):
        where = where / "best.safetensors"
    files = [where.prefix] if system else [where.prefix, f"{where.prefix.removesuffix('.safetensors')}.json"]
    objects = {o.name: o for o in (_present(where.bucket, key, config) for key in files)}
    return system + str(_kept(objects, config) / where.name)


def rooms(name: str) -> str:
    """What `mix.rirs` of a training may be, of a name that may lie in a bucket: then it is fetched, once per state.

    >>> rooms("simulated")
    'simulated'

    Raises: ConfigError if nothing lies there; DataError if it cannot be read.
    """
    if not isinstance(where := parse_location(name), S3Folder):
        return name
    if not (objects := _below(where)):
        raise ConfigError(f"mix.rirs {where}: no such folder; give one, or 'simulated'")
    return str(_kept(objects, DEFAULTS))


def _kept(objects: Mapping[str, S3Object], config: S3Config) -> Path:
    """A folder of the cache that has these objects under these names, and the same name wherever they are fetched."""
    digest = hashlib.sha256(repr([(str(o), o.etag) for o in objects.values()]).encode()).hexdigest()
    folder = weights_cache() / digest[:32]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            _download_all(objects, Path(temporary, "whole"), config)
            try:
                os.rename(Path(temporary, "whole"), folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    return folder


def _present(bucket: str, key: str, config: S3Config) -> S3Object:
    about = s3_client.head(bucket, key, config)
    if about is None:
        raise ConfigError(
            f"{S3Object(bucket, key)}: no such weights; give the --out of a training, or a .safetensors file with its "
            "card beside it"
        )
    return S3Object(bucket, key, about.etag, about.size)
