"""Functions that Numba compiles to machine code."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numba
from filelock import FileLock
from numba.core.dispatcher import Dispatcher

from clean_corpus.pipeline.core.hashing import sha256_file

KERNELS = Path(__file__).with_name("kernels.py")  # parts of compiled functions


def compiled(*signatures: str, **options: bool) -> Callable[[Callable], Dispatcher]:
    """Return `numba.njit` with these arguments, which keeps what it compiles where a folder for that can be written.

    Numba tries NUMBA_CACHE_DIR, the folder of the source and the user's cache. Where it finds none, each process
    compiles for itself, which takes seconds and changes no result; `numba.njit(cache=True)` would refuse the function.
    """

    def decorate(function: Callable) -> Dispatcher:
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "no locator" not in str(error):
                raise
            return numba.njit(*signatures, **options)(function)
        _know_kernels(dispatcher)
        _compile_under_lock(dispatcher)
        for signature in signatures:
            dispatcher.compile(signature)
        if signatures:
            dispatcher.disable_compile()
        return dispatcher

    return decorate


def compile_lock() -> FileLock:
    """Return the lock of this user's processes on this machine around what Numba compiles into files, or loads.

    Two processes that write a function's files at once leave some that crash whoever loads them.
    """
    return _lock_of(os.getpid())


@cache
def _lock_of(pid: int) -> FileLock:
    """Return the lock as a process has it: one that came through a fork is refused."""
    return FileLock(Path(tempfile.gettempdir(), f"clean-corpus-compile-{os.getuid()}.lock"))


def _know_kernels(dispatcher: Dispatcher) -> None:
    """Have a change of kernels.py count as one of the function's own file, the only one that Numba looks at."""
    kept = dispatcher._cache._cache_file
    kept._source_stamp = (kept._source_stamp, sha256_file(KERNELS))


def _compile_under_lock(dispatcher: Dispatcher) -> None:
    compile_ = dispatcher.compile

    def compile_alone(signature: object) -> object:
        with compile_lock():
            return compile_(signature)

    dispatcher.compile = compile_alone
