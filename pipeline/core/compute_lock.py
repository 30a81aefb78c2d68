"""Turns at computing in one process: of several calls at a time one computes, while the others wait for the network.

A GPU is shared badly by threads, and its memory not at all: two shards at once need twice as much. Downloads and
uploads need neither, so a call gives its turn away for as long as one takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_turn = threading.Lock()
_thread = threading.local()


@contextmanager
def hold_compute_lock() -> Iterator[None]:
    """Wait for this process's turn and hold it in the block. Threads that the block starts have no turn of their own.

    Raises: RuntimeError if this thread has the turn already: it would wait for itself.
    """
    if getattr(_thread, "computes", None) is not None:
        raise RuntimeError("computing() inside computing(): the turn is held by this thread already")
    with _turn:
        _thread.computes = True
        try:
            yield
        finally:
            _thread.computes = None


@contextmanager
def release_compute_lock() -> Iterator[None]:
    """Give this thread's turn away for the block, and wait for it again; nothing happens where it holds none."""
    if not getattr(_thread, "computes", None):
        yield
        return
    _thread.computes = False
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
        _thread.computes = True
