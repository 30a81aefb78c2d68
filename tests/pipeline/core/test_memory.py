"""Freed memory goes back to the system where the C library is glibc, and nothing happens elsewhere."""

import ctypes
import platform

import pytest

from clean_corpus.pipeline.core.memory import return_freed_memory


class Library:
    """A C library that counts the calls for its heap."""

    def __init__(self) -> None:
        self.trimmed: list[int] = []

    def malloc_trim(self, pad: int) -> int:
        self.trimmed.append(pad)
        return 1


@pytest.mark.parametrize(("name", "trimmed"), [("glibc", [0]), ("", []), ("musl", [])])
def test_the_heap_is_trimmed_whole_on_glibc_alone(monkeypatch, name, trimmed):
    library = Library()
    monkeypatch.setattr(platform, "libc_ver", lambda: (name, "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda path: library)
    return_freed_memory()
    assert library.trimmed == trimmed


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_glibc_keeps_of_freed_blocks_is_returned():
    """Blocks below the limit of mmap, all freed but the last, which keeps the heap from shrinking by itself."""
    size = 64 * 1024
    kept = [b"x" * size for _ in range(1000)]  # written, unlike zeros, which take no memory
    del kept[:-1]
    before = resident_bytes()
    return_freed_memory()
    assert before - resident_bytes() > 32 * 2**20
