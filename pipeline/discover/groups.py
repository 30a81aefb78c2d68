"""Groups of recordings that are read together; a recording keeps its group from run to run.

Nights that bring a few recordings each leave small groups behind. Once there are many, neighbours are joined: a joined
group remembers of which groups, its parts, so that their results are put together and nobody reads them again.
"""

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
SMALL = 4  # a group is small up to this part of the limits of a group
FEWEST_JOINED = 16  # groups that joining has to do away with, or it is not worth its while
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
        if len(group) >= max_clips or size >= GROUP_BYTES or _ends_group(recording.key, max_clips):
            yield group
            group, size = [], 0
    if group:
        yield group


def _ends_group(key: str, max_clips: int) -> bool:
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % max(1, max_clips // 2) == 0


class Groups:
    """The groups of a run in the order of their numbers, each as its parts; each iteration reads them anew.

    A part holds recordings in the order of paths. A group that was not joined is its only part.

    `as_before` tells that they are of the same recordings as those of the run before, by name.
    """

    def __init__(self, db: sqlite3.Connection, *, as_before: bool = False) -> None:
        self._db, self.as_before = db, as_before
        self._count: int = db.execute("SELECT count(DISTINCT number) FROM grouped").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[list[Recording]]]:
        rows = self._db.execute(
            f"SELECT grouped.number, part, {COLUMNS} FROM grouped CROSS JOIN found ON found.path = grouped.path "
            "ORDER BY grouped.number, part, grouped.path"
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            yield [[as_recording(row[2:]) for row in part] for _, part in groupby(group, key=itemgetter(1))]


def group_recordings(store: Store, recordings: Recordings, max_clips: int, hidden: Hidden | None = None) -> Groups:
    """Return the groups of this run, written to the store for the next run before any recording is read; so are hashes.

    What `hidden` says must not be taken in is hidden first.
    Groups of an earlier run keep their numbers, and those of their recordings that are left; new recordings come into
    groups of higher numbers. Where there are new ones, many small groups are joined.

    Raises: StorageError if the groups cannot be written.
    """
    db = recordings.db
    if hidden:
        hide(db, hidden)
    db.execute("CREATE TABLE earlier (source TEXT PRIMARY KEY, number INTEGER, part INTEGER) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE grouped (number INTEGER, part INTEGER, path BLOB, PRIMARY KEY (number, part, path)) WITHOUT ROWID"
    )
    n_known = _read(store, db, max_clips)
    (first,) = db.execute("SELECT coalesce(max(number) + 1, 0) FROM earlier").fetchone()
    put = "INSERT INTO grouped VALUES (?, ?, ?)"

    def new_recordings() -> Iterator[Recording]:
        for recording in recordings:
            known = db.execute("SELECT number, part FROM earlier WHERE source = ?", (recording.source,)).fetchone()
            if known is None:
                yield recording
            else:
                db.execute(put, (*known, os.fsencode(recording.path)))

    n_new = 0
    for number, group in enumerate(cut_groups(new_recordings(), max_clips), first):
        db.executemany(put, ((number, 0, os.fsencode(recording.path)) for recording in group))
        n_new += len(group)
    if n_new:
        _join_small(db, max_clips)
    as_before = not n_new and len(recordings) == n_known
    if not as_before:
        _write(store, db, max_clips)
    hashes.save(store, db)
    db.execute("DROP TABLE earlier")
    return Groups(db, as_before=as_before)


def _join_small(db: sqlite3.Connection, max_clips: int) -> None:
    """Join neighbours among small groups, up to the limits of a group, where that does away with many.

    Neighbours alone, so that the order of recordings stays what it is; and only where at least two of them ended with
    their run and not by a name, for those that names cut are small by lot, and few.
    """
    sizes = db.execute(
        """SELECT grouped.number, count(*), sum(found.size), max(grouped.path)
           FROM grouped CROSS JOIN found ON found.path = grouped.path GROUP BY grouped.number ORDER BY grouped.number"""
    )
    runs: list[list[tuple[int, bytes]]] = [[]]
    n, size = 0, 0
    for number, count, n_bytes, last in sizes:
        is_small = count * SMALL <= max_clips and n_bytes * SMALL <= GROUP_BYTES
        if not is_small or n + count > max_clips or size + n_bytes > GROUP_BYTES:
            runs.append([])
            n, size = 0, 0
        if is_small:
            runs[-1].append((number, last))
            n, size = n + count, size + n_bytes
    joined = [run for run in runs if sum(not _ends_group(_key(db, last), max_clips) for _, last in run) > 1]
    if sum(len(run) - 1 for run in joined) < FEWEST_JOINED:
        return
    for run in joined:
        moves = ((run[0][0], part, number) for part, (number, _) in enumerate(run))
        db.executemany("UPDATE grouped SET number = ?, part = ? WHERE number = ?", moves)


def _key(db: sqlite3.Connection, path: bytes) -> str:
    return as_recording(db.execute(f"SELECT {COLUMNS} FROM found WHERE found.path = ?", (path,)).fetchone()).key


def _read(store: Store, db: sqlite3.Connection, max_clips: int) -> int:
    """Read the last run's groups into the database and return the number of rows; none if it cut by another size."""
    rows = 0
    try:
        with store.opened(KEY) as file:
            parquet = pq.ParquetFile(file)
            if (parquet.schema_arrow.metadata or {}).get(b"max_clips") == str(max_clips).encode():
                has_parts = "part" in parquet.schema_arrow.names  # earlier releases joined none
                names = ["source", "group", "part"] if has_parts else ["source", "group"]
                put = f"INSERT OR REPLACE INTO earlier VALUES (?, ?, {'?' if has_parts else '0'})"
                for batch in parquet.iter_batches(_ROWS, columns=names):
                    db.executemany(put, zip(*(batch[name].to_pylist() for name in names), strict=True))
                    rows += len(batch)
    except FileNotFoundError:
        pass
    return rows


def _write(store: Store, db: sqlite3.Connection, max_clips: int) -> None:
    columns = {"source": pa.string(), "group": pa.int32(), "part": pa.int32()}
    schema = pa.schema(columns, metadata={"max_clips": str(max_clips)})
    rows = db.execute(
        "SELECT source, grouped.number, part FROM grouped CROSS JOIN found ON found.path = grouped.path "
        "ORDER BY grouped.number, part, grouped.path"
    )
    with store.writer(KEY) as file, pq.ParquetWriter(file, schema, compression="zstd") as parquet:
        while window := rows.fetchmany(_ROWS):
            found = zip(zip(*window, strict=True), schema.types, strict=True)
            arrays = [column_of(values, kind) for values, kind in found]
            parquet.write_batch(pa.record_batch(arrays, schema=schema))
