"""Child processes and temporary folders that end with this process, however it ends."""

import errno
import multiprocessing
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Self

_REAPER = """
import os, shutil, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):   # a service's end signals all of its processes
    signal.signal(number, signal.SIG_IGN)
if os.fork():   # nobody's child: Ray kills those of a worker that it ends
    os._exit(0)
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
for _ in range(100):   # a process that is about to end may still write there
    if not folder or not os.path.lexists(folder):
        break
    shutil.rmtree(folder, ignore_errors=True)
    time.sleep(0.1 * os.path.lexists(folder))
"""


class Reaper:
    """A helper process that kills other processes and removes a folder when this process ends, or leaves the block.

    It outlives this process, even one that SIGKILL ends. It kills the processes that `kill_at_end` names and, where
    there is /proc, all whose environment holds `mark`, written NAME=VALUE; then it removes `folder`.
    Raises: OSError if it cannot be started.
    """

    def __init__(self, *, folder: Path | None = None, mark: str = "") -> None:
        command = [sys.executable, "-I", "-S", "-c", _REAPER, str(folder or ""), mark]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # whoever reads this process's output need not wait for the helper
            start_new_session=True,
        )
        if code := self._process.wait():  # of what started the helper, which is on its own now
            raise OSError(errno.ECHILD, f"the helper that tidies up after this process ended with {code}")

    def kill_at_end(self, pid: int) -> None:
        """Have a process killed when this one ends, or leaves the block."""
        self._process.stdin.write(f"{pid}\n".encode())
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes the pipe that the helper waits for, and reads until it ends


@contextmanager
def temporary_folder(prefix: str, *, parent: str | None = None, mark: str = "") -> Iterator[Path]:
    """Give the block a folder that no other user can read; it is removed after the block, or when this process ends.

    `mark` is a name: processes whose environment has the folder under that name are killed before.
    Raises: OSError if the folder cannot be made.
    """
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix=prefix, dir=parent)))
    with Reaper(folder=folder, mark=f"{mark}={folder}" if mark else ""):
        yield folder


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A TemporaryDirectory that is removed when this process ends, too, however it ends.

    All of a process lie in one folder, which no other user can read and which one `Reaper` removes.
    Raises: OSError if it cannot be made.
    """

    def __init__(self) -> None:
        with _changing:
            super().__init__(dir=_folder_of_process())

    def cleanup(self) -> None:
        super().cleanup()
        with _changing, suppress(OSError):  # others lie there
            os.rmdir(os.path.dirname(self.name))


_changing = threading.Lock()
_of_process: dict[str, tuple[str, Reaper]] = {}  # where temporary files go -> the folder there, which may not exist


def _folder_of_process() -> str:
    """Return the folder that is removed with this process, made anew if it was removed for being empty."""
    base = tempfile.gettempdir()
    if base in _of_process:
        folder, _ = _of_process[base]
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        about = os.lstat(folder)
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
            return folder
    folder = os.path.realpath(tempfile.mkdtemp(prefix="clean-corpus-"))  # else another user has taken the name
    _of_process[base] = folder, Reaper(folder=Path(folder))
    return folder


def _forget_parent() -> None:
    """Have a forked process make a folder of its own, whatever its parent was doing."""
    global _changing
    _changing = threading.Lock()
    _of_process.clear()


os.register_at_fork(after_in_child=_forget_parent)


def end_with_parent() -> None:
    """End this process as soon as the one that started it through multiprocessing is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise ValueError(f"process {os.getpid()} was not started through multiprocessing")

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
