import subprocess
import sys

import numba
import numpy as np
import pytest

from clean_corpus.pipeline.core.compiled import compiled


def twice(x):
    """Return twice a number."""
    return 2 * x


def test_compiles_where_a_cache_can_be_kept():
    function = compiled("float32(float32)", nogil=True)(twice)
    assert function.signatures == [(numba.float32,)]
    assert function(np.float32(1.5)) == 3.0
    assert function.targetoptions["nogil"]


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
