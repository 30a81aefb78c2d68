import os
import subprocess
import sys
from threading import Thread

import numba
import numpy as np
import pytest
from filelock import FileLock

from clean_corpus.pipeline.core.compiled import compile_lock, compiled


def twice(x):
    """Return twice a number."""
    return 2 * x


def test_compiles_where_a_cache_can_be_kept():
    function = compiled("float32(float32)", nogil=True)(twice)
    assert function.signatures == [(numba.float32,)]
    assert function(np.float32(1.5)) == 3.0
    assert function.targetoptions["nogil"]


def test_what_was_compiled_from_other_kernels_is_compiled_again(monkeypatch, tmp_path):
    def hits() -> int:
        function = compiled("int16(int16)")(twice)
        assert function(np.int16(2)) == 4
        return sum(function.stats.cache_hits.values())

    hits()
    assert hits() == 1
    monkeypatch.setattr("clean_corpus.pipeline.core.compiled.KERNELS", tmp_path / "kernels.py")
    (tmp_path / "kernels.py").write_text("# another version")
    assert hits() == 0


@pytest.mark.parametrize("signatures", [["int32(int32)"], []], ids=["where it is defined", "where it is called"])
def test_a_function_is_compiled_while_no_other_process_compiles(signatures):
    """Workers that start at once on a new machine write one cache; two at a time would spoil it for every other."""
    results = []
    thread = Thread(target=lambda: results.append(compiled(*signatures)(twice)(np.int32(4))))
    with FileLock(compile_lock().lock_file):
        thread.start()
        thread.join(0.5)
        assert results == []
    thread.join(60)
    assert results == [8]


def test_a_forked_process_compiles_with_a_lock_of_its_own():
    """Workers are forked from a process that has compiled."""
    compiled("int64(int64)")(twice)
    pid = os.fork()
    if not pid:
        os._exit(0 if compiled()(twice)(np.float64(2)) == 4 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_function_without_a_place_for_a_cache_is_compiled_all_the_same():
    known = {}
    exec("def thrice(x):\n    return 3 * x", known)  # in no file, so that Numba has nowhere to keep it
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit("int64(int64)", cache=True)(known["thrice"])
    assert compiled("int64(int64)")(known["thrice"])(14) == 42
    assert compiled(nogil=True)(known["thrice"])(1.5) == 4.5


def test_other_refusals_of_numba_are_heard():
    with pytest.raises(TypeError, match="not a function"):
        compiled()(int)


@pytest.mark.parametrize(
    "module", ["clean_corpus.pipeline.quality.winograd", "clean_corpus.vocoder.generation.kernels.cpu"]
)
def test_the_package_imports_where_no_folder_can_be_written(module):
    nowhere = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []"
    subprocess.run([sys.executable, "-c", f"{nowhere}; import {module}"], check=True)
