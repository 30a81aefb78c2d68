"""Servers that the benchmark of faults starts: S3 by moto, and Prefect, each in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from environment import COMMAND


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server in the block, and make it the server of all clients of this process and its children."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, "/moto-api/")
        url = f"http://127.0.0.1:{port}"
        about = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= about | {"AWS_ENDPOINT_URL_S3": url}
        yield url
    finally:
        process.kill()
        process.wait()


def prefect(port: int, home: Path) -> subprocess.Popen:
    """Start a Prefect server, and wait until it answers."""
    command = [Path(COMMAND).parent / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | quiet
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, "/api/health")
    return process


def wait_for(port: int, path: str, within_s: float = 90) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
