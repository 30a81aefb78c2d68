"""A real Prefect server, process workers beside it, and what a test asks them."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import httpx
import pytest
from filelock import FileLock

from tests.support.processes import descendants, kill

PREFECT = str(Path(sys.executable).parent / "prefect")
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def make_database(path: Path) -> Path:
    """Make the database of a new server once for all workers of the tests; a server takes 5 s of a core for it."""
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            home = path.with_suffix("")
            environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
            subprocess.run(
                [PREFECT, "server", "database", "upgrade", "-y"],
                env=environment | {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
                check=True,
                capture_output=True,
            )
            shutil.copy(home / "prefect.db", path)
    return path


@contextlib.contextmanager
def harness(database: Path, folder: Path) -> Iterator[None]:
    """Run the flows of the block on a server with a copy of a database in a folder."""
    from prefect.testing import utilities

    shutil.copy(database, folder / "prefect-test.db")
    with (
        mock.patch.object(utilities, "mkdtemp", lambda: str(folder)),
        utilities.prefect_test_harness(server_startup_timeout=120),
    ):
        yield


class Server:
    """The API of a server, and the processes that belong to it."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.url, self.environment = f"http://127.0.0.1:{port}", environment
        self._client = httpx.Client(base_url=f"{self.url}/api", timeout=60)
        self._processes: list[subprocess.Popen] = []

    def start(self, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [PREFECT, *arguments], env=self.environment, cwd=self.environment["HOME"], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def worker(self, pool: str) -> subprocess.Popen:
        return self.start("worker", "start", "--pool", pool, "--type", "process", "--limit", "1")

    def ask(self, method: str, path: str, body: dict | None = None) -> httpx.Response:
        """The answer. A server whose database is busy says 503: it is asked again, as Prefect's own client does."""
        for _ in range(60):
            answer = self._client.request(method, path, json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        return answer

    def post(self, path: str, body: dict) -> httpx.Response:
        return self.ask("POST", path, body)

    def get(self, path: str) -> dict:
        return self.ask("GET", path).raise_for_status().json()

    def begin(self, name: str, flow: str = "clean-corpus", /, **parameters: object) -> httpx.Response:
        deployment = self.get(f"/deployments/name/{flow}/{name}")["id"]
        return self.post(f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})

    def runs(self, name: str) -> list[dict]:
        answer = self.post("/flow_runs/filter", {"deployments": {"name": {"any_": [name]}}, "sort": "START_TIME_ASC"})
        return answer.raise_for_status().json()

    def stop(self) -> None:
        for process in reversed(self._processes):
            for pid in [*descendants(process.pid), process.pid]:
                kill(pid)
            process.wait()


def until(what, timeout_s: float, of: str):
    """What a condition gives as soon as it gives something; a server too busy to answer has not said no."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if result := what():
                return result
        time.sleep(0.25)
    pytest.fail(f"{of}: not within {timeout_s} s")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
