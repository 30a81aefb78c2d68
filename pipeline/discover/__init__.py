"""Recordings of the input and their metadata: files of a folder, objects of a bucket, or names in a manifest."""

import sqlite3
from pathlib import Path

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, DEFAULT_S3, ManifestConfig, S3Config
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import hashes
from clean_corpus.pipeline.discover.keys import refuse_shared_keys
from clean_corpus.pipeline.discover.local import find_in_folder
from clean_corpus.pipeline.discover.recordings import Recordings, create_table
from clean_corpus.pipeline.discover.s3 import find_in_bucket
from clean_corpus.pipeline.storage.base import Store


def find(
    root: Location,
    db: sqlite3.Connection,
    *,
    exclude: Location | None,
    s3: S3Config = DEFAULT_S3,
    manifest: ManifestConfig = DEFAULT_MANIFEST,
    store: Store | None = None,
) -> Recordings:
    """Find every file below a folder, or one file, or the files that one manifest names; once into one database.

    Paths are relative to `root`, or to its folder if it is a file. Hidden files and folders (leading dot), the folder
    `exclude` and outputs of other runs are passed over; links are followed. Manifests and sidecars (see manifests.py)
    have no row of their own, but each of their lines that came to nothing has, and each file that they name and that is
    absent. Any other file counts as a recording until it cannot be decoded. A local file that is as it was when an
    earlier run into `store` hashed it is not hashed again.

    Raises: ConfigError if `root` is absent, is `exclude`, or is the output of another run.
    """
    create_table(db)
    if store:
        hashes.load(store, db)
    if isinstance(root, S3Folder):
        find_in_bucket(root, db, exclude if isinstance(exclude, S3Folder) else None, s3, manifest)
    else:
        find_in_folder(root, db, exclude if isinstance(exclude, Path) else None, manifest)
    refuse_shared_keys(db)
    return Recordings(db)


def find_all(
    root: Location,
    *,
    exclude: Location | None,
    s3: S3Config = DEFAULT_S3,
    manifest: ManifestConfig = DEFAULT_MANIFEST,
) -> list[Recording]:
    """Return as a list in memory the recordings that `find` finds.

    Raises: as `find`.
    """
    with scratch_database() as db:
        return list(find(root, db, exclude=exclude, s3=s3, manifest=manifest))
