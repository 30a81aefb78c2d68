"""Child processes and temporary folders that end with this process, however it ends."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Self

_REAPER = """
import os, shutil, signal, sys, time
folder, mark = sys.argv[1:]
pids = [int(line) for line in sys.stdin]   # ends when the parent closes the pipe or is gone

def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except OSError:
        return False

def marked():
    for name in os.listdir("/proc") if mark and os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and os.fsencode(mark) in open(f"/proc/{name}/environ", "rb").read().split(b"\\0"):
                yield int(name)
        except OSError:
            pass

for pid in pids:
    kill(pid)
for _ in range(20):   # a process that one of them started meanwhile is found the next time
    if not [pid for pid in marked() if kill(pid)]:
        break
    time.sleep(0.1)
if folder:
    shutil.rmtree(folder, ignore_errors=True)
"""


class Reaper:
    """A helper process that kills other processes and removes a folder when this process ends, or leaves the block.

    It outlives this process, even one that SIGKILL ends. It kills the processes that `kill_at_end` names and, where
    there is /proc, all whose environment holds `mark`, written NAME=VALUE; then it removes `folder`.
    """

    def __init__(self, *, folder: Path | None = None, mark: str = "") -> None:
        command = [sys.executable, "-I", "-S", "-c", _REAPER, str(folder or ""), mark]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def kill_at_end(self, pid: int) -> None:
        """Have a process killed when this one ends, or leaves the block."""
        self._process.stdin.write(f"{pid}\n".encode())
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes the pipe, which it waits for


@contextmanager
def temporary_folder(prefix: str, *, parent: str | None = None, mark: str = "") -> Iterator[Path]:
    """Give the block a folder that no other user can read; it is removed after the block, or when this process ends.

    `mark` is a name: processes whose environment has the folder under that name are killed before.
    Raises: OSError if the folder cannot be made.
    """
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix=prefix, dir=parent)))
    with Reaper(folder=folder, mark=f"{mark}={folder}" if mark else ""):
        yield folder


def end_with_parent() -> None:
    """End this process as soon as the one that started it through multiprocessing is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise ValueError(f"process {os.getpid()} was not started through multiprocessing")

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
