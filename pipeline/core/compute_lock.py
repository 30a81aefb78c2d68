"""The lock of computing in one process: of several threads one computes, while the others wait for the network.

Threads share a GPU badly, and its memory not at all: two shards at once need twice as much. Downloads and uploads need
neither, so a thread releases the lock for as long as one takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_thread = threading.local()


@contextmanager
def hold_compute_lock() -> Iterator[None]:
    """Hold this process's compute lock in the block. Threads that the block starts do not hold it.

    Raises: RuntimeError if this thread holds the lock already, since it would wait for itself.
    """
    if getattr(_thread, "computes", None) is not None:
        raise RuntimeError("hold_compute_lock() inside hold_compute_lock(): this thread holds the lock already")
    with _lock:
        _thread.computes = True
        try:
            yield
        finally:
            _thread.computes = None


@contextmanager
def release_compute_lock() -> Iterator[None]:
    """Release this thread's compute lock for the block, and wait for it again; nothing happens if it holds none."""
    if not getattr(_thread, "computes", None):
        yield
        return
    _thread.computes = False
    _lock.release()
    try:
        yield
    finally:
        _lock.acquire()
        _thread.computes = True
