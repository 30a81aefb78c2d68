"""A scratch database for what a run must remember of every clip, on disk instead of in memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

CACHE_KIB = 32 * 1024


@contextmanager
def scratch_database() -> Iterator[sqlite3.Connection]:
    """Give an empty SQLite database in a file without a name, which ends with the block or with the process.

    The file lies where SQLITE_TMPDIR or TMPDIR says. One transaction is open from beginning to end: do not commit. Use
    it from one thread at a time. Tables whose rows exceed some 100 bytes are faster with a rowid.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}", "temp_store = FILE"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN")  # a transaction a statement would be ten times as slow
        yield database
    finally:
        database.close()
