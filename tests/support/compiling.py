"""What Numba compiles is kept for all workers of the tests, and for the next time."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from filelock import FileLock


def lock_caches() -> None:
    """Have one process at a time read and write what Numba keeps, whichever package compiles.

    Two that write a function's files at once leave some that crash whoever loads them. Our own functions have a lock in
    the package; librosa's have none.
    """
    from numba.core import caching

    def alone(method: Callable) -> Callable:
        def locked(*arguments: object) -> object:
            with _lock_of(os.getpid()):
                return method(*arguments)

        return locked

    caching.Cache.load_overload = alone(caching.Cache.load_overload)
    caching.Cache.save_overload = alone(caching.Cache.save_overload)


@cache
def _lock_of(pid: int) -> FileLock:
    """Return the lock as a process has it: one that came through a fork is refused."""
    return FileLock(Path(tempfile.gettempdir(), f"clean-corpus-tests-numba-{os.getuid()}.lock"))
