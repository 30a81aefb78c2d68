"""Groups of recordings that are read together; a recording keeps its group from run to run."""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.arrow_tables import column_of
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import hashes
from clean_corpus.pipeline.discover.hidden import Hidden, hide
from clean_corpus.pipeline.discover.recordings import COLUMNS, Recordings, as_recording
from clean_corpus.pipeline.storage.base import Store

GROUP_BYTES = 64 * 2**20
KEY = "work/groups.parquet"
_ROWS = 16384  # of groups.parquet in memory at a time


def cut_groups(recordings: Iterable[Recording], max_clips: int) -> Iterator[list[Recording]]:
    """Yield groups of recordings in order, cut by a hash of the name, and at max_clips or 64 MiB at the latest.

    Cuts depend on names and not on counts, so one new file changes one group and leaves the others as they are.
    """
    group: list[Recording] = []
    size = 0
    for recording in recordings:
        group.append(recording)
        size += recording.size
        draw = int(hashlib.sha256(recording.key.encode()).hexdigest()[:8], 16)
        if len(group) >= max_clips or size >= GROUP_BYTES or draw % max(1, max_clips // 2) == 0:
            yield group
            group, size = [], 0
    if group:
        yield group


class Groups:
    """The groups of a run in the order of their numbers, each in the order of paths; each iteration reads them anew.

    `as_before` tells that they are of the same recordings as those of the run before, by name.
    """

    def __init__(self, db: sqlite3.Connection, *, as_before: bool = False) -> None:
        self._db, self.as_before = db, as_before
        self._count: int = db.execute("SELECT count(DISTINCT number) FROM grouped").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Recording]]:
        rows = self._db.execute(
            f"SELECT grouped.number, {COLUMNS} FROM grouped CROSS JOIN found ON found.path = grouped.path "
            "ORDER BY grouped.number, grouped.path"
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            yield [as_recording(row[1:]) for row in group]


def group_recordings(store: Store, recordings: Recordings, max_clips: int, hidden: Hidden | None = None) -> Groups:
    """Return the groups of this run, written to the store for the next run before any recording is read; so are hashes.

    What `hidden` says must not be taken in is hidden first.
    Groups of an earlier run keep their numbers, and those of their recordings that are left; new recordings come into
    groups of higher numbers.

    Raises: StorageError if the groups cannot be written.
    """
    db = recordings.db
    if hidden:
        hide(db, hidden)
    db.execute("CREATE TABLE earlier (source TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
    db.execute("CREATE TABLE grouped (number INTEGER, path BLOB, PRIMARY KEY (number, path)) WITHOUT ROWID")
    n_known = _read(store, db, max_clips)
    (first,) = db.execute("SELECT coalesce(max(number) + 1, 0) FROM earlier").fetchone()
    put = "INSERT INTO grouped VALUES (?, ?)"

    def new_recordings() -> Iterator[Recording]:
        for recording in recordings:
            known = db.execute("SELECT number FROM earlier WHERE source = ?", (recording.source,)).fetchone()
            if known is None:
                yield recording
            else:
                db.execute(put, (*known, os.fsencode(recording.path)))

    n_new = 0
    for number, group in enumerate(cut_groups(new_recordings(), max_clips), first):
        db.executemany(put, ((number, os.fsencode(recording.path)) for recording in group))
        n_new += len(group)
    as_before = not n_new and len(recordings) == n_known
    if not as_before:
        _write(store, db, max_clips)
    hashes.save(store, db)
    db.execute("DROP TABLE earlier")
    return Groups(db, as_before=as_before)


def _read(store: Store, db: sqlite3.Connection, max_clips: int) -> int:
    """Read the last run's groups into the database and return the number of rows; none if it cut by another size."""
    rows = 0
    try:
        with store.opened(KEY) as file:
            parquet = pq.ParquetFile(file)
            if (parquet.schema_arrow.metadata or {}).get(b"max_clips") == str(max_clips).encode():
                for batch in parquet.iter_batches(_ROWS, columns=["source", "group"]):
                    pairs = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                    db.executemany("INSERT OR REPLACE INTO earlier VALUES (?, ?)", pairs)
                    rows += len(batch)
    except FileNotFoundError:
        pass
    return rows


def _write(store: Store, db: sqlite3.Connection, max_clips: int) -> None:
    schema = pa.schema({"source": pa.string(), "group": pa.int32()}, metadata={"max_clips": str(max_clips)})
    rows = db.execute(
        "SELECT source, grouped.number FROM grouped CROSS JOIN found ON found.path = grouped.path "
        "ORDER BY grouped.number, grouped.path"
    )
    with store.writer(KEY) as file, pq.ParquetWriter(file, schema, compression="zstd") as parquet:
        while window := rows.fetchmany(_ROWS):
            columns = zip(*window, strict=True)
            arrays = [column_of(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
            parquet.write_batch(pa.record_batch(arrays, schema=schema))
