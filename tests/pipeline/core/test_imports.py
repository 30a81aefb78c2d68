import gc
import subprocess
import sys

import pytest

from clean_corpus.pipeline.core.imports import quick_imports


@pytest.fixture(autouse=True)
def nothing_frozen():
    """What the collection of tests froze is frozen again afterwards: see conftest.py."""
    gc.unfreeze()
    yield
    gc.enable()
    gc.freeze()


def test_nothing_is_collected_in_the_block_and_what_it_made_is_left_out_afterwards():
    with quick_imports():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled() and gc.get_freeze_count() > len(made)


def test_the_collector_works_again_after_an_import_that_failed():
    with pytest.raises(ImportError), quick_imports():
        raise ImportError("no such library")
    assert gc.isenabled()


def test_who_has_no_collector_gets_none():
    gc.disable()
    with quick_imports():
        assert not gc.isenabled()
    assert not gc.isenabled() and gc.get_freeze_count() == 0


def test_at_the_end_of_the_process_no_library_misses_what_it_made():
    """DuckDB's bindings print each object that nobody freed."""
    code = "from clean_corpus.pipeline.core.imports import quick_imports\nwith quick_imports():\n    import duckdb"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
