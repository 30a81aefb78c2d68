"""Functions that Numba compiles to machine code."""

from collections.abc import Callable

import numba
from numba.core.dispatcher import Dispatcher


def compiled(*signatures: str, **options: bool) -> Callable[[Callable], Dispatcher]:
    """Return `numba.njit` with these arguments, which keeps what it compiles where a folder for that can be written.

    Numba tries NUMBA_CACHE_DIR, the folder of the source and the user's cache. Where it finds none, each process
    compiles for itself, which takes seconds and changes no result; `numba.njit(cache=True)` would refuse the function.
    """

    def decorate(function: Callable) -> Dispatcher:
        try:
            return numba.njit(*signatures, cache=True, **options)(function)
        except RuntimeError as error:
            if "no locator" not in str(error):
                raise
            return numba.njit(*signatures, **options)(function)

    return decorate
