"""A parent that SIGKILL ends leaves neither its children nor its folder behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.child_processes import Reaper, ScratchFolder, end_with_parent, temporary_folder
from tests.support.paths import REPOSITORY
from tests.support.processes import descendants

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

SCRATCH = """
import multiprocessing, os, signal, time
from clean_corpus.pipeline.core.child_processes import ScratchFolder, end_with_parent

def fill(ready):
    with ScratchFolder() as folder:
        open(os.path.join(folder, "recording.wav"), "w").close()
        ready()
        time.sleep(60)

def work(queue):
    end_with_parent()
    fill(lambda: queue.put(os.getpid()))

if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup, under which tests may run, has ignored
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    context.Process(target=work, args=(queue,)).start()
    queue.get()
    fill(lambda: print("ready", flush=True))
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


def start(code: str, path: Path, *arguments: object, **changes: str) -> subprocess.Popen:
    path.write_text(code)
    command = [sys.executable, str(path), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")} | changes
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_a_process_its_recordings_and_those_of_its_worker_are_gone(number, tmp_path):
    (temporary := tmp_path / "tmp").mkdir()
    process = start(SCRATCH, tmp_path / "parent.py", TMPDIR=str(temporary))
    assert process.stdout.readline() == "ready\n"
    assert len(list(temporary.rglob("recording.wav"))) == 2
    process.send_signal(number)
    process.wait()
    assert wait_until(lambda: not list(temporary.iterdir()))


def test_a_signal_to_all_processes_of_a_service_finds_the_helper_still_there(tmp_path):
    """systemd and containers signal every process: the helper removes the folder when its parent ends."""
    with temporary_folder("held-", parent=str(tmp_path)) as folder:
        (helper,) = [
            int(entry.name)
            for entry in Path("/proc").glob("[0-9]*")
            if runs(int(entry.name)) and os.fsencode(folder) in (entry / "cmdline").read_bytes().split(b"\0")
        ]
        assert helper not in descendants(os.getpid())  # Ray kills the children of a worker that it ends
        assert os.readlink(f"/proc/{helper}/fd/2") == "/dev/null", "who reads the output would wait for it"
        time.sleep(0.5)  # until it has begun
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(helper, number)
        time.sleep(0.2)
        assert runs(helper) and folder.exists()
    assert not folder.exists()


def test_a_scratch_folder_is_gone_after_its_block_and_nobody_else_can_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ScratchFolder() as one, ScratchFolder() as other:
        assert Path(one) != Path(other) and Path(one).parent == Path(other).parent
        assert Path(one).parent.parent == tmp_path and Path(one).parent.stat().st_mode & 0o077 == 0
    assert not Path(one).exists() and not Path(other).exists()
    assert not list(tmp_path.iterdir()), "an empty folder stays"
    with ScratchFolder() as again:
        assert Path(again).parent == Path(one).parent
    (tmp_path / "of another").mkdir()
    Path(one).parent.symlink_to(tmp_path / "of another")  # who takes the name meanwhile gets nothing
    with ScratchFolder() as again:
        assert Path(again).parent != Path(one).parent and not list((tmp_path / "of another").iterdir())


def test_no_temporary_folder_of_the_package_outlives_a_killed_process():
    lasting = re.compile(r"\b(TemporaryDirectory|NamedTemporaryFile|SpooledTemporaryFile|mkdtemp|mkstemp)\b")
    rooms = ("pipeline", "flows", "enhancers", "vocoder")
    using = [
        str(path.relative_to(REPOSITORY))
        for path in sorted(path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))
        if lasting.search(path.read_text())
    ]
    assert using == ["pipeline/core/child_processes.py"], "take ScratchFolder or temporary_folder of child_processes"


def test_a_process_without_a_parent_in_multiprocessing_is_refused():
    with pytest.raises(ValueError, match="not started through multiprocessing"):
        end_with_parent()
