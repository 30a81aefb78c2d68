"""Recordings in a bucket, found by listing; only manifests and sidecars are downloaded."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import manifests
from clean_corpus.pipeline.discover.fetch import fetch_objects, unsafe_name
from clean_corpus.pipeline.discover.recordings import add
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.s3_objects import S3Object


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
            fetch_objects(folder, [listed(path) for path in paths], Path(temporary), config)
            yield Path(temporary)

    manifests.read_all(db, fetched, only=only)


def _below(
    root: S3Folder, exclude: S3Folder | None, config: S3Config
) -> Iterator[tuple[str, str | None, int, str | None]]:
    """(path, why it cannot be read, bytes, etag) of every object below that is not hidden."""
    start = root.key_prefix
    excluded = exclude.key_prefix if exclude and exclude.bucket == root.bucket else None
    for listed in s3_objects.list_objects(root.bucket, start, config=config):
        path = listed.key[len(start) :]
        hidden = any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))
        if path and not path.endswith("/") and not hidden and not (excluded and listed.key.startswith(excluded)):
            yield path, unsafe_name(path), listed.size, listed.etag
