import os
from pathlib import Path

from clean_corpus.pipeline.core.scratch_database import CACHE_KIB, scratch_database


def _nameless() -> dict[str, int]:
    """Open files that no folder holds any more, and their sizes."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        link = Path("/proc/self/fd", fd)
        if link.exists() and os.readlink(link).endswith(" (deleted)"):
            found[os.readlink(link)] = link.stat().st_size
    return found


def test_rows_go_to_a_file_that_has_no_name_and_not_into_memory():
    before = _nameless()
    with scratch_database() as db:
        db.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, text BLOB)")
        db.executemany("INSERT INTO kept VALUES (?, ?)", ((i, bytes(100_000)) for i in range(CACHE_KIB // 50)))
        (size,) = (_nameless()[name] for name in _nameless().keys() - before.keys())
        assert size > CACHE_KIB * 1024 / 2
        assert db.execute("SELECT count(*), sum(length(text)) FROM kept").fetchone() == (655, 65_500_000)
    assert _nameless() == before
