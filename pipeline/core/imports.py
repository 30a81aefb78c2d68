"""Imports of large libraries."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import in the block without the garbage collector, which would walk over all that is imported again and again.

    Later collections leave out what was made in the block: it stays as long as the process, and stays shared with what
    is forked from it. It makes the imports of torch or of a Prefect server a quarter faster.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries that count what is never freed would print it at the end
