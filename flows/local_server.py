"""A Prefect server for the flows of this process alone, started with it, quiet, and gone with it."""

import contextlib
import os
import socket
import ssl
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
from clean_corpus.pipeline.core.masking import mask, mask_address
from clean_corpus.pipeline.core.surroundings import user_cache

START_TIMEOUT_S = 120
CONNECT_S = 5.0
CLOUD = "api.prefect.cloud"  # whose addresses of workspaces say nothing of health
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


def require_server() -> None:
    """Refuse PREFECT_API_URL where no Prefect server takes our requests; without the variable there is nothing to do.

    Raises: ConfigError that names the variable and its value, without a password.
    """
    if (url := os.environ.get("PREFECT_API_URL")) is None:
        return
    problem = _problem(url.rstrip("/"))
    if problem:
        raise ConfigError(
            f"PREFECT_API_URL {mask_address(url)!r}: {mask(problem)}; start that server, correct the address, or unset "
            "the variable: then this command has a server of its own"
        )


def _problem(url: str) -> str | None:
    """Return what is wrong with the API of a Prefect server at an address, None if it can be used."""
    import httpx

    if not url.startswith(("http://", "https://")):
        return "no address such as http://127.0.0.1:4200/api"
    try:
        with httpx.Client(timeout=CONNECT_S, follow_redirects=True, verify=_certificates()) as client:
            answer = client.get(f"{url}/health")
            if answer.url.host == CLOUD or answer.status_code in (401, 403):  # what stands before it wants a key
                return None
            if answer.status_code != 200 or answer.text.strip() != "true":
                return (
                    f"no Prefect server there: what answers (status {answer.status_code}) is something else, or the "
                    "address lacks its /api"
                )
            version = f"{url}/admin/version"
            if client.get(version).status_code == 401 and client.get(version, auth=_login()).status_code == 401:
                return "the server asks for a password; set PREFECT_API_AUTH_STRING to its user:password"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"no Prefect server there: {error or type(error).__name__}"
    return None


def _certificates() -> ssl.SSLContext | bool:
    """Return what Prefect's client checks a server's certificate with."""
    if os.environ.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "").lower() in ("1", "true", "yes", "on"):
        return False
    file = os.environ.get("PREFECT_API_SSL_CERT_FILE")
    return ssl.create_default_context(cafile=file) if file else True


def _login() -> tuple[str, str] | None:
    """Return user and password for the server, from wherever Prefect has them."""
    from prefect.settings import PREFECT_API_AUTH_STRING

    secret = PREFECT_API_AUTH_STRING.value()
    user, _, password = secret.get_secret_value().partition(":") if secret else ("", "", "")
    return (user, password) if user else None


@contextmanager
def server(prepare: Callable[[], T] = lambda: None) -> Iterator[T]:
    """Run flows of the block on a Prefect server of their own, which ends with the block or with this process.

    `prepare` is called while the server starts, and the block gets what it returns; imports of prefect, and checks of
    what the user asks for, belong there. With PREFECT_API_URL set, as it is within the block, that server is used and
    none is started.
    Raises: CleanCorpusError if the server does not start; ConfigError as `require_server`, before anything is prepared.
    """
    if "PREFECT_API_URL" in os.environ:
        require_server()
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
