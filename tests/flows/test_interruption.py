"""Ending at a signal: at once, with a message and exit code 130; and nothing left behind by a block that ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clean_corpus.flows.interruption import EXIT_CODE, interruptible

CODE = """
import os, signal, sys, threading, time
from clean_corpus.flows.interruption import interruptible

def show(message):
    print(message, flush=True)

with interruptible(show, "run it again"):
    {before}
    print("ready", flush=True)
    {work}
print("left the block", flush=True)
time.sleep(60)
"""
SLEEP = "time.sleep(60)"
HANDLERS_OF_OTHERS = "signal.signal(signal.SIGTERM, lambda *_: None)"  # as Prefect does while a flow runs
LOCKED = "lock = threading.Lock(); lock.acquire(); lock.acquire()"


def started(before: str = "pass", work: str = SLEEP) -> subprocess.Popen:
    code = CODE.format(before=before, work=work)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("before", "work"), [("pass", SLEEP), (HANDLERS_OF_OTHERS, SLEEP), ("pass", LOCKED)])
def test_a_signal_ends_the_process_with_the_message(number, before, work):
    process = started(before, work)
    began = time.monotonic()
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("run it again\n", "")
    assert process.returncode == EXIT_CODE == 130 and time.monotonic() - began < 5


RICH = "from rich.console import Console; print = lambda x, flush: Console().print(x)"  # exits where nobody reads
STUCK = "print = lambda *_, flush: time.sleep(60); time.sleep(60)"  # as where a pipe is full


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("before", "work", "is_open"), [("pass", SLEEP, False), (RICH, SLEEP, False), ("pass", STUCK, True)]
)
def test_it_ends_where_nobody_reads_the_message(number, before, work, is_open):
    """Ctrl-C ends the reader in `run 2>&1 | tee log` too; and a pager that nobody scrolls reads nothing."""
    process = started(before, work)
    if not is_open:
        process.stdout.close()
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=20) == EXIT_CODE and time.monotonic() - began < 5


def test_other_signals_do_not_end_it():
    process = started("signal.signal(signal.SIGUSR1, lambda *_: None)", "time.sleep(0.5)")
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "left the block\n"
    process.kill()
    process.communicate()


def test_after_the_block_a_signal_does_what_it_did_before():
    process = started("pass", "pass")
    assert process.stdout.readline() == "left the block\n"
    process.terminate()
    assert process.communicate(timeout=20) == ("", "") and process.returncode == -signal.SIGTERM


def test_a_block_leaves_handlers_and_descriptors_as_they_were(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    numbers = signal.SIGINT, signal.SIGTERM

    def state() -> tuple:
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        return [signal.getsignal(number) for number in numbers], wakeup, len(os.listdir("/proc/self/fd"))

    before = state()
    with pytest.raises(ZeroDivisionError), interruptible(pytest.fail, "never"):
        assert state()[:2] != before[:2]
        raise ZeroDivisionError
    with interruptible(pytest.fail, "never"), interruptible(pytest.fail, "never"):
        pass
    deadline = time.monotonic() + 10
    while state()[2] > before[2] and time.monotonic() < deadline:  # a thread closes what it read from
        time.sleep(0.01)
    assert state()[:2] == before[:2] and state()[2] <= before[2]
    assert os.environ["PYTHONWARNINGS"] == "ignore", "what the user set stays"
