"""Turns at computing in one process: of several threads one computes, while the others wait for the network.

Threads share a GPU badly, and its memory not at all: two shards at once need twice as much. Downloads and uploads need
neither. So a thread has no turn until what it needs is there, and gives it back for as long as an upload takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_thread = threading.local()


@contextmanager
def compute_in_turns() -> Iterator[None]:
    """Let this thread take turns at computing in the block, from `begin_computing` on. Threads that it starts do not.

    Raises: RuntimeError if this thread takes turns already, since it would wait for itself.
    """
    if getattr(_thread, "computes", None) is not None:
        raise RuntimeError("compute_in_turns() inside compute_in_turns(): this thread takes turns already")
    _thread.computes = False
    try:
        yield
    finally:
        if _thread.computes:
            _lock.release()
        _thread.computes = None


def begin_computing() -> None:
    """Wait for this thread's turn, now that what it needs is there; nothing happens if it has it, or takes none."""
    if getattr(_thread, "computes", None) is False:
        _lock.acquire()
        _thread.computes = True


@contextmanager
def wait_without_turn() -> Iterator[None]:
    """Give this thread's turn back for the block, and wait for it again; nothing happens if it has none."""
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
