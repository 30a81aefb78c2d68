"""Recordings in a bucket, found by listing; only manifests and sidecars are downloaded."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig, S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder, is_within
from clean_corpus.pipeline.discover import manifests
from clean_corpus.pipeline.discover.fetch import fetch_objects
from clean_corpus.pipeline.discover.manifest_formats import manifest_kind
from clean_corpus.pipeline.discover.outputs import is_hidden, pass_over_outputs
from clean_corpus.pipeline.discover.recordings import SIDECARS, add, composed, sidecar_stems, stem_of
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.s3_objects import S3Object


def find_in_bucket(
    root: S3Folder,
    db: sqlite3.Connection,
    exclude: S3Folder | None,
    config: S3Config,
    manifest: ManifestConfig = DEFAULT_MANIFEST,
) -> None:
    """Put the recordings of a prefix, of one object or of one manifest in a bucket into table `found`.

    Raises: ConfigError if nothing lies there, it may not be listed, is `exclude`, or is the output of another run.
    """
    if root == exclude:
        raise ConfigError(f"output {exclude} is the input folder itself; choose another folder, which may lie inside")
    folder, only = root, None
    add(db, _list_recordings(root, exclude, config))
    if not db.execute("SELECT 1 FROM found").fetchone():
        folder, only = root.parent, root.name if manifest_kind(root.name, manifest) else None
        listed = _list_recordings(folder, exclude, config, "" if only else _common_start(root.name))
        add(db, (row for row in listed if only or _belongs_to(row[0], root.name)))
        if not db.execute("SELECT 1 FROM found WHERE path = ?", (os.fsencode(root.name),)).fetchone():
            raise ConfigError(f"input {root}: no such object, and nothing lies below it")

    def as_listed(path: str) -> S3Object:
        row = db.execute("SELECT etag, size FROM found WHERE path = ?", (os.fsencode(path),)).fetchone()
        return S3Object(folder.bucket, folder.key(path), *row)

    @contextmanager
    def fetch(paths: Sequence[str]) -> Iterator[Path]:
        with ScratchFolder() as temporary:
            ends = fetch_objects(folder, [as_listed(path) for path in paths], Path(temporary), config)
            unread.update({path: end for path, end in zip(paths, ends, strict=True) if end})
            yield Path(temporary)

    unread: dict[str, str] = {}
    if folder is root:
        pass_over_outputs(db, root)
    _refuse_objects_that_are_folders(db)
    manifests.read_all(db, fetch, root=folder, only=only, config=manifest)
    for path, reason in unread.items():  # not "malformed": what lies in its place is an empty file
        if only in (None, path):
            db.execute("UPDATE found SET error = ?, listed = 1 WHERE path = ?", (reason, os.fsencode(path)))


def _refuse_objects_that_are_folders(db: sqlite3.Connection) -> None:
    """Give every object whose key is also a folder of others an error; those below it are files as ever."""
    db.execute(
        "UPDATE found SET error = ? WHERE error IS NULL AND EXISTS (SELECT 1 FROM found AS other "
        "WHERE other.path > CAST(found.path || '/' AS BLOB) AND other.path < CAST(found.path || '0' AS BLOB))",
        ("no file name: the key is also a folder of other objects; rename the object",),
    )


def _belongs_to(name: str, recording: str) -> bool:
    """Return whether an object is the recording or its sidecar, whatever the normalisation of their names."""
    stems = map(composed, sidecar_stems(os.fsencode(name)))
    of_recording = composed(stem_of(os.fsencode(recording))) in stems
    return name == recording or (of_recording and os.fsencode(name).lower().endswith(SIDECARS))


def _common_start(recording: str) -> str:
    """Return what the names of a recording and its sidecars begin with, whatever their normalisation.

    >>> _common_start("talk.wav"), _common_start("caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav")
    ('talk', 'caf')
    """
    stem = os.fsdecode(composed(stem_of(os.fsencode(recording))))
    return "".join(takewhile(str.isascii, stem))


def _list_recordings(
    root: S3Folder, exclude: S3Folder | None, config: S3Config, start: str = ""
) -> Iterator[tuple[str, str | None, int, str | None]]:
    """Yield (path, why it cannot be read, bytes, etag) of every object below a prefix that is not hidden.

    Only names that begin with `start` are listed. An empty object whose key ends with a slash stands for a folder.
    `exclude` is passed over where it lies below the prefix; the prefix may lie in it.
    """
    excluded = exclude.key_prefix if exclude and exclude != root and is_within(exclude, root) else None
    for found in s3_objects.list_objects(root.bucket, root.key_prefix + start, config=config):
        path = root.relative(found.key)
        is_folder = not found.size and path.endswith("/")
        if path and not is_folder and not is_hidden(path) and not (excluded and found.key.startswith(excluded)):
            yield path, s3_objects.unsafe_name(path), found.size, found.etag
