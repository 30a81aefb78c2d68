"""Running a Prefect flow in this process with a server of its own, quietly, and stopping all of it cleanly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from clean_corpus.pipeline.core.errors import CleanCorpusError

_REAPER = """
import os, signal, sys
pids = [int(line) for line in sys.stdin]   # ends when the parent does, however it does
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


def configure() -> None:
    """Settings of the Prefect that our commands start; call before prefect is imported. What a user set stays.

    With PREFECT_API_URL set, runs go to that server instead and its own settings hold.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors are printed by us, once
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    }
    if "PREFECT_API_URL" not in os.environ:
        defaults |= {
            "PREFECT_HOME": str(cache / "clean-corpus" / "prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if "PREFECT_HOME" in os.environ:
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


def is_helper() -> bool:
    """Whether this process was started by a training on several GPUs, for one of them: it has no flow of its own."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


@contextmanager
def server() -> Iterator[None]:
    """A Prefect server for this process alone, unless PREFECT_API_URL names one; it dies with this process."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    reaper = subprocess.Popen([sys.executable, "-c", _REAPER], stdin=subprocess.PIPE, start_new_session=True)
    instance = SubprocessASGIServer()
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    try:
        with ThreadPoolExecutor(1) as threads:
            with _children_write_to(log):
                starting, known = threads.submit(instance.start), None
                while not starting.done() and instance.server_process is None:
                    time.sleep(0.005)
            while not starting.done() or instance.server_process is not known:  # a taken port: a second process
                if instance.server_process is not known:
                    known = instance.server_process
                    reaper.stdin.write(f"{known.pid}\n".encode())
                    reaper.stdin.flush()
                time.sleep(0.02)
        try:
            starting.result()
        except RuntimeError as error:
            raise CleanCorpusError(f"the Prefect server of this run did not start: {error} See {log}") from None
        yield
    finally:
        reaper.stdin.close()  # its way of stopping is quick, and quiet: nobody reads this server's database
        reaper.wait()


@contextmanager
def _children_write_to(log: Path) -> Iterator[None]:
    """Processes started in the block have their output in a file: a server that is killed has a lot to say."""
    kept = [os.dup(1), os.dup(2)]
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        for descriptor, original in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, original)
            os.close(descriptor)


@contextmanager
def interruptible(say: Callable[[str], None], message: str) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends this process at once with exit code 130: state on disk is whole at every moment.

    A thread hears of signals through the wake-up pipe, since Prefect puts a SIGTERM handler of its own in place while
    a flow runs, which waits for every task.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen() -> None:
        while number := os.read(reader, 1):  # empty: the block was left
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                say(message)
                os._exit(130)  # workers and server notice that their parent is gone, and go too
        os.close(reader)

    # what the sudden end leaves to the tracker of multiprocessing is not the user's concern
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    outer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(outer)
        os.close(writer)
