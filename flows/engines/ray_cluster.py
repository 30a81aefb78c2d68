"""Connections to a Ray cluster: one that exists, or one started for a run, which ends when the run does."""

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

from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.engines.machine import share_of_gpu, times_in, visible_gpus, workers_here
from clean_corpus.pipeline.core.child_processes import temporary_folder
from clean_corpus.pipeline.core.errors import ConfigError

OBJECT_STORE_BYTES = 100 * 2**20  # calls carry names of shards and never audio; Ray's own default is 30% of the memory
MARK = "CLEAN_CORPUS_RAY"  # in the environment of all processes of a cluster that was started for a run


@contextmanager
def connected(config: EngineConfig) -> Iterator[tuple[int, float]]:
    """Connect the block to the cluster at config.address, or to a new one of this machine alone.

    Yields the number of workers to ask for, and each one's share of a GPU. A new cluster listens on 127.0.0.1 only,
    wants a token that no one else can read, and ends with this process, or with the thread that entered the block.
    Raises: ConfigError if Ray is in use already, the cluster cannot be reached or refuses us, or this machine has too
    few GPUs.
    """
    settings = {"RAY_AUTH_MODE": "token"}
    if config.address:
        with _environment(settings), _joined(config.address) as nodes:
            yield _room(config, nodes)
        return
    workers, share = workers_here(config)
    gpus = visible_gpus() if share else []
    if share and workers > len(gpus) * times_in(1, share):
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
    """Start a cluster of this machine alone for the block, with its files in `folder`."""
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
    with _disconnected_at_the_end():
        yield


@contextmanager
def _joined(address: str) -> Iterator[list[dict[str, float]]]:
    """Connect the block to a cluster; yield the resources of each of its machines."""
    _check_reachable(address)
    _init(f"cluster {address} did not let us in", address=address)
    import ray

    with _disconnected_at_the_end():
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def _disconnected_at_the_end() -> Iterator[None]:
    import ray

    try:
        yield
    finally:
        ray.shutdown()


def _init(failure: str, **arguments: object) -> None:
    """Connect this process to a cluster.

    Raises: ConfigError, which `failure` begins, if that does not work or the process is connected already.
    """
    import ray

    if ray.is_initialized():
        raise ConfigError("this process is connected to a Ray cluster already; leave that one first: ray.shutdown()")
    try:
        ray.init(log_to_driver=False, configure_logging=False, logging_level="ERROR", **arguments)
    except (Exception, SystemExit) as error:  # Ray ends the process where it has no answer for long
        raise ConfigError(f"engine.kind=ray: {failure}: {type(error).__name__}: {error}") from None
    # Ray internals: each death is a page on standard output otherwise, whatever the arguments above say, and there is
    # no public switch.
    ray._private.worker._worker_logs_enabled = False


def _check_reachable(address: str) -> None:
    """Refuse a cluster that does not answer, in seconds: Ray itself tries for two minutes and then ends the process.

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
        answer = subprocess.run(
            check if address == "auto" else [*check, "--address", address], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{where}: no answer of a Ray cluster for 60 s") from None
    if answer.returncode:
        output = answer.stderr.strip() or answer.stdout.strip() or f"exit code {answer.returncode}"
        problem = output.splitlines()[-1]
        if "uthentication" in problem:
            raise ConfigError(
                f"{where}: the cluster wants another token; put its token into a file and set "
                "RAY_AUTH_TOKEN_PATH to its name (a cluster without tokens: RAY_AUTH_MODE=disabled)"
            )
        raise ConfigError(f"{where}: {problem}")


def _room(config: EngineConfig, nodes: list[dict[str, float]]) -> tuple[int, float]:
    """Return the number of workers that the machines of a cluster have room for, and each one's share of a GPU."""
    share = config.gpus_per_worker
    if share is None:
        shares = [
            share_of_gpu(node.get("CPU", 0) / config.cpus_per_worker, node["GPU"]) for node in nodes if node.get("GPU")
        ]
        share = max(shares, default=0)  # where there are GPUs a worker without one would be slow
    return config.workers or max(1, sum(_workers_on(node, config.cpus_per_worker, share) for node in nodes)), share


def _workers_on(node: dict[str, float], cpus: float, share: float) -> int:
    by_cpus = times_in(node.get("CPU", 0), cpus)
    return min(by_cpus, int(node.get("GPU", 0)) * times_in(1, share)) if share else by_cpus


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the block; those that the user has set stay."""
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """Return the token of all clusters that this process starts: Ray reads a process's token only once."""
    return secrets.token_hex(32)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Give the block a folder that no one else can read, with a token in it.

    It goes with the block or this process, and so does every process marked by it: Ray's agents would stay a minute.
    """
    short = None if len(tempfile.gettempdir()) < 30 else "/tmp"  # sockets lie there, whose names may not be long
    with temporary_folder("clean-corpus-ray-", parent=short, mark=MARK) as folder:
        (folder / "token").write_text(_token())
        yield folder
