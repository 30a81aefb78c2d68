"""Freed memory that the C library keeps from the system."""

import ctypes
import platform


def return_freed_memory() -> None:
    """Return freed blocks of memory to the system (glibc; elsewhere nothing happens).

    Clips of ever new lengths fragment glibc's heap: 1.7 GB a worker after an hour of audio instead of 0.9 GB. A heap
    that keeps nothing (M_MMAP_THRESHOLD) costs a third more time, in page faults.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
