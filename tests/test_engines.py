"""Worker processes: results come back, exceptions too, a dead worker is replaced, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import REPOSITORY

from flows.engines import LocalEngine, WorkerDied


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2) as engine:
        yield engine


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_calls_run_in_other_processes_that_stay(engine):
    pids = {engine.run(os.getpid) for _ in range(6)}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2


def test_exceptions_come_back_as_they_are(engine):
    with pytest.raises(ZeroDivisionError):
        engine.run(divmod, 1, 0)


def test_a_dead_worker_is_an_error_that_names_the_call_and_is_replaced(engine):
    with pytest.raises(WorkerDied, match="died in die"):
        engine.run(die, None)
    assert engine.run(divmod, 7, 2) == (3, 1)


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="workers 0"):
        LocalEngine(0)


def test_workers_follow_a_killed_parent():
    code = "from flows.engines import LocalEngine\nimport os, time\ne = LocalEngine(1)\n"
    code += "print(e.run(os.getpid), flush=True)\ntime.sleep(60)\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"if __name__ == '__main__':\n    exec({code!r})"],
        stdout=subprocess.PIPE, cwd=REPOSITORY, text=True,
    )  # fmt: skip
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")
