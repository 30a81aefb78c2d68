"""Hashes of local files, remembered from run to run: a file whose state is the same is not read again to be hashed."""

import os
import sqlite3
import time

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.arrow_tables import column_of
from clean_corpus.pipeline.storage.base import Store

KEY = "work/hashes.parquet"
SETTLED_S = 3.0
"""Age of a state that tells of every later change: time stamps are coarse, up to 2 s on some file systems."""
_ROWS = 16384  # in memory at a time
_SCHEMA = pa.schema({"path": pa.binary(), "size": pa.int64(), "stamp": pa.string(), "sha256": pa.string()})


def stamp_of(status: os.stat_result) -> str | None:
    """Return the text that a file's state has until the file changes: times of content and inode, and the inode.

    None if it changed so lately that another change might leave it as it is.
    """
    newest_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - newest_ns < SETTLED_S * 1e9:
        return None
    return f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def load(store: Store, db: sqlite3.Connection) -> None:
    """Put what the last run remembered into the table `hashed`."""
    try:
        with store.opened(KEY) as file:
            for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=_SCHEMA.names):
                rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                db.executemany("INSERT OR REPLACE INTO hashed VALUES (?, ?, ?, ?)", rows)
    except FileNotFoundError:
        return


def save(store: Store, db: sqlite3.Connection) -> None:
    """Remember the hashes of this run's recordings, unless nothing changed; what is hidden from it is left out.

    Raises: StorageError if the output cannot be written.
    """
    known = "FROM found WHERE stamp IS NOT NULL AND sha256 IS NOT NULL AND error IS NULL"
    (n_known,) = db.execute(f"SELECT count(*) {known}").fetchone()
    (n_before,) = db.execute("SELECT count(*) FROM hashed").fetchone()
    same = f"{known} AND EXISTS (SELECT 1 FROM hashed WHERE hashed.path = found.path AND hashed.stamp = found.stamp)"
    if n_known == n_before == db.execute(f"SELECT count(*) {same}").fetchone()[0]:
        return
    rows = db.execute(f"SELECT path, size, stamp, sha256 {known} ORDER BY path")
    with store.writer(KEY) as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as parquet:
        while window := rows.fetchmany(_ROWS):
            columns = [
                column_of(part, kind) for part, kind in zip(zip(*window, strict=True), _SCHEMA.types, strict=True)
            ]
            parquet.write_batch(pa.record_batch(columns, schema=_SCHEMA))
