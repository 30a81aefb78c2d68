"""Running a Prefect flow in this process with a server of its own, quietly, and stopping all of it cleanly."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def server() -> Iterator[None]:
    """A Prefect server for this process alone, unless PREFECT_API_URL names one; it dies with this process."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    reaper = subprocess.Popen([sys.executable, "-c", _REAPER], stdin=subprocess.PIPE, start_new_session=True)
    instance = SubprocessASGIServer()
    try:
        instance.start()
        reaper.stdin.write(f"{instance.server_process.pid}\n".encode())
        reaper.stdin.flush()
        yield
    finally:
        reaper.stdin.close()  # its way of stopping is quick, and quiet: nobody reads this server's database
        reaper.wait()


@contextmanager
def interruptible(say: Callable[[str], None], message: str) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends this process at once with exit code 130: state on disk is whole at every moment."""

    def stop(number: int, _frame: object) -> None:
        say(message)
        os._exit(130)  # workers and server notice that their parent is gone, and go too

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
