"""A parent that SIGKILL ends leaves neither its children nor its folder behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.child_processes import Reaper, end_with_parent, temporary_folder
from tests.support.paths import REPOSITORY

PARENT = """
import os, subprocess, sys, time
from clean_corpus.pipeline.core.child_processes import Reaper, temporary_folder

with temporary_folder("reaped-", parent=sys.argv[1], mark="REAPED_BY_TEST") as folder, Reaper() as reaper:
    (folder / "file").write_text("")
    named = subprocess.Popen(["sleep", "60"], start_new_session=True)
    reaper.kill_at_end(named.pid)
    marked = subprocess.Popen(["sleep", "60"], start_new_session=True, env=os.environ | {"REAPED_BY_TEST": str(folder)})
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    print(folder, named.pid, marked.pid, other.pid, flush=True)
    time.sleep(60)
"""

WORKER = """
import multiprocessing, os, time
from clean_corpus.pipeline.core.child_processes import end_with_parent

def work(queue):
    end_with_parent()
    queue.put(os.getpid())
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    context.Process(target=work, args=(queue,)).start()
    print(queue.get(), flush=True)
    time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended; one that nobody waits for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition) -> bool:
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def start(code: str, path: Path, *arguments: object) -> subprocess.Popen:
    path.write_text(code)
    command = [sys.executable, str(path), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_parent_killed_outright_leaves_no_folder_and_no_child_that_it_named_or_marked(tmp_path):
    parent = start(PARENT, tmp_path / "parent.py", tmp_path)
    folder, named, marked, other = parent.stdout.readline().split()
    assert Path(folder, "file").exists() and runs(int(named)) and runs(int(marked))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        assert wait_until(lambda: not runs(int(named)) and not runs(int(marked)) and not Path(folder).exists())
        assert runs(int(other))  # neither named nor marked
    finally:
        os.kill(int(other), signal.SIGKILL)


def test_a_worker_ends_with_the_parent_that_was_killed(tmp_path):
    parent = start(WORKER, tmp_path / "parent.py")
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not runs(worker))


def test_the_end_of_the_block_is_an_end_too(tmp_path):
    child = subprocess.Popen(["sleep", "60"])
    with Reaper() as reaper:
        reaper.kill_at_end(child.pid)
        assert child.poll() is None
    assert child.wait(timeout=10) == -signal.SIGKILL
    with temporary_folder("reaped-", parent=str(tmp_path)) as folder:
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_an_exception_in_the_block_is_raised_and_the_folder_is_gone(tmp_path):
    with pytest.raises(KeyError), temporary_folder("reaped-", parent=str(tmp_path)) as folder:
        raise KeyError
    assert not folder.exists()


def test_a_process_without_a_parent_in_multiprocessing_is_refused():
    with pytest.raises(ValueError, match="not started through multiprocessing"):
        end_with_parent()
