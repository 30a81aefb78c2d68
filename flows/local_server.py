"""A Prefect server for the flows of this process alone, started with it, quiet, and gone with it."""

import contextlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from clean_corpus.pipeline.core.child_processes import Reaper
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.imports import quick_imports
from clean_corpus.pipeline.core.surroundings import user_cache

START_TIMEOUT_S = 120
T = TypeVar("T")
_SERVE = "import sys; from clean_corpus.flows.local_server import serve; serve(int(sys.argv[1]))"


def configure() -> None:
    """Set what Prefect is to do in our commands; call this before prefect is imported. What the user has set stays.

    With PREFECT_API_URL set, runs go to that server, whose own settings hold.
    Raises: ConfigError if Prefect's folder cannot be made.
    """
    defaults = {
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors are printed by us, once
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    }
    if "PREFECT_API_URL" not in os.environ:
        defaults |= {
            "PREFECT_HOME": str(user_cache() / "prefect"),
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",  # a request more for each client, for browsers' sake
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if home := os.environ.get("PREFECT_HOME"):
        try:
            Path(home).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"PREFECT_HOME {home}: {error.strerror}; set it to a folder that can be written"
            ) from None


@contextmanager
def server(prepare: Callable[[], T] = lambda: None) -> Iterator[T]:
    """Run flows of the block on a Prefect server of their own, which ends with the block or with this process.

    `prepare` is called while the server starts, and the block gets what it returns; imports of prefect, and checks of
    what the user asks for, belong there. With PREFECT_API_URL set, as it is within the block, that server is used and
    none is started.
    Raises: CleanCorpusError if the server does not start.
    """
    if "PREFECT_API_URL" in os.environ:
        yield _quickly(prepare)
        return
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    with Reaper() as reaper:  # its way of ending the server is quick: nobody reads this server's database
        process, url = _start(log)
        reaper.kill_at_end(process.pid)
        os.environ["PREFECT_API_URL"] = url  # read when prefect is imported
        try:
            prepared = _quickly(prepare)
            _wait_until_healthy(process, url, log)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            with temporary_settings({PREFECT_API_URL: url}):
                yield prepared
        finally:
            del os.environ["PREFECT_API_URL"]
    process.wait()


def _quickly(prepare: Callable[[], T]) -> T:
    with quick_imports():
        return prepare()


def _start(log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on a port that is free, with its output in a file; return its process and the URL of its API."""
    with socket.create_server(("127.0.0.1", 0)) as listening, log.open("wb") as file:
        descriptor, port = listening.fileno(), listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(descriptor)],
            pass_fds=[descriptor],
            env=os.environ | {"PREFECT_UI_ENABLED": "false"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    return process, f"http://127.0.0.1:{port}/api"


def serve(descriptor: int) -> None:
    """Be the server: answer at a socket that is listened on already, until this process is ended."""
    with quick_imports():
        import uvicorn
        from prefect.server.api.server import create_app

        config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error", lifespan="on")
    with socket.socket(fileno=descriptor) as listening:
        uvicorn.Server(config).run(sockets=[listening])


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the server answers; requests made before wait at its socket.

    Raises: CleanCorpusError if the process ends, or does not answer in time.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=START_TIMEOUT_S):
            return
    except (urllib.error.URLError, OSError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        ended = "" if process.poll() is None else f" its process ended with code {process.returncode}."
        reason = getattr(error, "reason", error)
        raise CleanCorpusError(f"the Prefect server of this run did not start: {reason};{ended} See {log}") from None
