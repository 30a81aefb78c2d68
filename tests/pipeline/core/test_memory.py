"""Freed memory goes back to the system where the C library is glibc; limits are those of cgroups and of the process."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from clean_corpus.pipeline.core import memory
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


@pytest.mark.parametrize(("controllers", "name"), [("", "memory.max"), ("memory", "memory.limit_in_bytes")])
def test_the_least_limit_of_all_cgroups_above_counts(tmp_path, monkeypatch, controllers, name):
    root = tmp_path / controllers
    for folder, limit in ((root, "max"), (root / "pod", "700"), (root / "pod" / "own", "900")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(limit)
    real = Path

    def elsewhere(*parts):
        if parts == ("/proc/self/cgroup",):
            (tmp_path / "groups").write_text(f"3:cpu:/x\n1:{controllers}:/pod/own\n")
            return tmp_path / "groups"
        return real(tmp_path, *parts[1:]) if parts[0] == "/sys/fs/cgroup" else real(*parts)

    monkeypatch.setattr(memory, "Path", elsewhere)
    assert memory.memory_limit() == 700


def test_the_limit_of_addresses_is_that_of_the_process():
    code = "from clean_corpus.pipeline.core import memory; print(memory.address_space_limit())"
    limited = f"ulimit -v 2000000; exec '{sys.executable}' -c '{code}'"
    assert subprocess.check_output(["bash", "-c", limited], text=True).strip() == str(2000000 * 1024)
