"""Connections to a Ray cluster: one that exists, or one started for a run, which goes when the run does."""

import math
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from clean_corpus.flows.engines.base import EngineConfig, fits, on_this_machine, visible_gpus
from clean_corpus.pipeline.core.errors import ConfigError

OBJECT_STORE_BYTES = 100 * 2**20  # calls carry names of shards and never audio; Ray's own default is 30% of the memory
MARK = "CLEAN_CORPUS_RAY"

_REAPER = """
import os, shutil, signal, sys, time
folder = sys.argv[1]
sys.stdin.read()   # ends when the parent does, however it does
mark = f"CLEAN_CORPUS_RAY={folder}".encode()
for _ in range(20):   # what one of them started meanwhile is found the next time
    found = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and mark in open(f"/proc/{name}/environ", "rb").read().split(b"\\0"):
                os.kill(int(name), signal.SIGKILL)
                found += 1
        except OSError:
            pass
    if not found:
        break
    time.sleep(0.1)
shutil.rmtree(folder, ignore_errors=True)
"""


@contextmanager
def connected(config: EngineConfig) -> Iterator[tuple[int, float]]:
    """A connection in the block, to the cluster at config.address or to a new one of this machine alone.

    Yields the number of workers to ask for, and each one's share of a GPU. A new cluster listens on 127.0.0.1 only,
    wants a token that no one else can read, and ends with this process, or with the thread that entered the block.
    Raises: ConfigError if Ray is in use already, the cluster cannot be reached or refuses us, or this machine has too
    few GPUs.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    if config.address:
        with _environment(settings), _joined(config.address) as nodes:
            yield _room(config, nodes)
        return
    workers, share = on_this_machine(config)
    gpus = visible_gpus() if share else []
    if share and workers > len(gpus) * fits(1, share):
        raise ConfigError(
            f"engine.workers={workers} with engine.gpus_per_worker={share:g}: this machine has {len(gpus)} GPUs; "
            "set engine.workers or engine.gpus_per_worker lower"
        )
    with _own_folder() as folder:
        settings["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # all it does elsewhere: listen on 127.0.0.1 alone
        settings["RAY_prestart_worker_first_driver"] = "0"  # processes that no one would use, a GB on a large machine
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            settings["RAY_AUTH_TOKEN_PATH"] = str(folder / "token")
        with _environment(settings), _started(folder, math.ceil(workers * config.cpus_per_worker), len(gpus)):
            yield workers, share


@contextmanager
def _started(folder: Path, cpus: int, gpus: int) -> Iterator[None]:
    with _environment({MARK: str(folder)}):  # on Ray's processes, and on nothing else that this one starts later
        _init(
            "a cluster for this run did not start",
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            _temp_dir=str(folder / "ray"),  # which Ray opens to everyone
        )
    with _left_at_the_end():
        yield


@contextmanager
def _joined(address: str) -> Iterator[list[dict[str, float]]]:
    """Yields what each machine of the cluster has."""
    _check_reachable(address)
    _init(f"cluster {address} did not let us in", address=address)
    import ray

    with _left_at_the_end():
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def _left_at_the_end() -> Iterator[None]:
    import ray

    try:
        yield
    finally:
        ray.shutdown()


def _init(failure: str, **arguments: object) -> None:
    import ray

    if ray.is_initialized():
        raise ConfigError("this process is connected to a Ray cluster already; leave that one first: ray.shutdown()")
    try:
        ray.init(log_to_driver=False, configure_logging=False, logging_level="ERROR", **arguments)
    except (Exception, SystemExit) as error:  # Ray ends the process where it has no answer for long
        raise ConfigError(f"engine.kind=ray: {failure}: {type(error).__name__}: {error}") from None
    # Each death is a page on standard output otherwise, whatever the arguments above; there is no public switch.
    ray._private.worker._worker_logs_enabled = False


def _check_reachable(address: str) -> None:
    """Ray itself tries for two minutes, prints a lot and then ends the process.

    Raises: ConfigError if nobody listens there, or the token is not that cluster's.
    """
    where = f"engine.address={address}"
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise ConfigError(f"{where}: no cluster there: {error}") from None
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    try:
        done = subprocess.run(
            check if address == "auto" else [*check, "--address", address], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{where}: no answer of a Ray cluster for 60 s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        if "uthentication" in said:
            raise ConfigError(
                f"{where}: the cluster wants another token; put its token into a file and set "
                "RAY_AUTH_TOKEN_PATH to its name (a cluster without tokens: RAY_AUTH_MODE=disabled)"
            )
        raise ConfigError(f"{where}: {said}")


def _room(config: EngineConfig, nodes: list[dict[str, float]]) -> tuple[int, float]:
    share = config.gpus_per_worker
    if share is None:
        share = 1 if any(node.get("GPU") for node in nodes) else 0
    return config.workers or max(1, sum(_fitting(node, config.cpus_per_worker, share) for node in nodes)), share


def _fitting(node: dict[str, float], cpus: float, share: float) -> int:
    by_cpus = fits(node.get("CPU", 0), cpus)
    return min(by_cpus, int(node.get("GPU", 0)) * fits(1, share)) if share else by_cpus


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Settings for the block; what a user set stays."""
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """One for all clusters that this process starts, one after the other: Ray reads a process's token once."""
    return secrets.token_hex(32)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder that no one else can read, with a token; it goes with the block or this process, and so does every
    process with its mark: Ray's agents would stay for a minute."""
    short = None if len(tempfile.gettempdir()) < 30 else "/tmp"  # sockets lie there, whose names may not be long
    folder = Path(tempfile.mkdtemp(prefix="clean-corpus-ray-", dir=short))
    reaper = subprocess.Popen(
        [sys.executable, "-c", _REAPER, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        (folder / "token").write_text(_token())
        yield folder
    finally:
        reaper.stdin.close()
        reaper.wait()
