"""Where the work of a shard runs. An engine hands each call to one long-lived worker that keeps its models loaded."""

import glob
import importlib.util
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Literal, Protocol, Self, TypeVar

from pydantic import Field, field_validator

from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

Result = TypeVar("Result")


class WorkerDied(CleanCorpusError):
    """A worker process ended in the middle of a call; the call may be made again."""


class EngineClosed(CleanCorpusError):
    """The run is over, cancelled or failed: there are no workers any more."""


class NoWorkers(ConfigError):
    """There is no worker, and none came for as long as one was waited for."""


class EngineConfig(Section):
    """Where shards are worked on."""

    kind: Literal["local", "ray"] = Field("local", description="processes on this machine, or actors of a Ray cluster")
    workers: int | None = Field(
        None,
        ge=1,
        description="worker processes, one thread each; null: one per GPU, or per core where there is no GPU; on a Ray "
        "cluster as many as it has room for when the run starts. More than there is room for wait for a node to join",
    )
    gpus_per_worker: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of a GPU that each worker has, 1 at most, 0 for none; null: 1 where there are GPUs",
    )
    address: str | None = Field(
        None, description="ray only: HOST:PORT of a cluster, or auto for this machine's; null: one started for the run"
    )
    cpus_per_worker: float = Field(1, gt=0, description="ray only: cores that the cluster sets aside for each worker")
    ahead: int = Field(
        1, ge=0, le=8, description="ray only: shards a worker reads or writes while it computes another, at most"
    )
    start_timeout_s: float = Field(
        300, gt=0, description="ray only: how long to go on without a single worker before giving up, seconds"
    )

    @field_validator("gpus_per_worker", "cpus_per_worker")
    @classmethod
    def _whole_ten_thousandths(cls, value: float | None) -> float | None:
        if value is not None and round(value, 4) != value:
            raise ValueError(f"{value}: Ray counts in steps of 0.0001")
        return value

    @field_validator("address")
    @classmethod
    def _no_ray_client(cls, value: str | None) -> str | None:
        host, _, port = (value or "auto").rpartition(":")
        if value and value != "auto" and ("://" in value or not host or not port.isdigit()):
            raise ValueError(
                f"{value}: give HOST:PORT or auto, and run this on a machine of the cluster; one that adds nothing "
                "else to it joins by `ray start --address=HOST:PORT --num-cpus=0`"
            )
        return value


class Engine(Protocol):
    """Calls functions of a module in workers; made by `open_engine`, and used as a context."""

    workers: int
    """How many there are, or are to be."""
    slots: int
    """Calls of `run` that make sense at a time: more would only wait."""

    present: int
    """Workers that are there now."""

    def run(self, function: Callable[..., Result], *args: object) -> Result: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def open_engine(config: EngineConfig) -> Engine:
    """The engine that the settings ask for, started.

    Raises: ConfigError if Ray is asked for and not installed, or what `RayEngine` raises.
    """
    if config.kind == "ray":
        if importlib.util.find_spec("ray") is None:
            raise ConfigError('engine.kind=ray needs Ray; run `pip install "clean-corpus[ray]"`')
        from clean_corpus.flows.engines.ray_engine import RayEngine

        return RayEngine(config)
    workers, share = on_this_machine(config)
    return LocalEngine(workers, visible_gpus() if share else [])


def on_this_machine(config: EngineConfig) -> tuple[int, float]:
    """How many workers this machine is to have, and each one's share of a GPU.

    Raises: ConfigError if it has no GPU and one is asked for.
    """
    gpus = visible_gpus()
    share = (1 if gpus else 0) if config.gpus_per_worker is None else config.gpus_per_worker
    if share and not gpus:
        raise ConfigError(f"engine.gpus_per_worker is {share:g}, this machine has no GPU; set engine.gpus_per_worker=0")
    return config.workers or (len(gpus) * fits(1, share) if share else len(os.sched_getaffinity(0))), share


def fits(room: float, each: float) -> int:
    """How often `each` goes into `room`.

    >>> fits(1, 0.1), fits(1, 0.3), fits(2, 3)
    (10, 3, 0)
    """
    return int(room / each + 1e-6)


def visible_gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES has for this machine's GPUs, found without loading a library for them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]
    names = [name.strip() for name in given.split(",")]  # CUDA stops at the first that is none, and so do we
    return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]


# Imported once, before workers are forked: they share its memory, half of what each would need alone.
PRELOAD = [
    "clean_corpus.enhancers.serving.enhancer",
    "librosa.filters",
    "clean_corpus.pipeline.quality.scorer",
    "clean_corpus.pipeline.corpus.ingest",
    "clean_corpus.pipeline.corpus.enhance",
    "clean_corpus.pipeline.corpus.score",
    "clean_corpus.pipeline.corpus.publish",
]


def _start_worker(gpu: str | None) -> None:
    import signal

    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # heard of when CUDA is first used, which the preload must not do

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


def _call(function: Callable[..., Result], *args: object) -> Result:
    try:
        return function(*args)
    finally:
        memory.return_freed_memory()


class LocalEngine:
    """As many worker processes as asked for, each with one thread; a worker that dies is replaced.

    With `gpus` worker i sees the GPU i modulo their number and no other; with an empty list none; with None what is
    there. More workers than GPUs let one read and write while another computes, and hold a model each.
    Raises: ValueError if workers is less than 1.
    """

    def __init__(self, workers: int, gpus: list[str] | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers}, at least 1 is needed")
        self.workers = self.slots = self.present = workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._idle: queue.Queue[tuple[ProcessPoolExecutor, str | None]] = queue.Queue()
        self._executors: set[ProcessPoolExecutor] = set()
        self._changing, self._closed = threading.Lock(), False
        for i in range(workers):
            gpu = None if gpus is None else gpus[i % len(gpus)] if gpus else ""
            executor = self._new(gpu)
            executor.submit(os.getpid)  # starts the process, and the server with its imports, while others get ready
            self._idle.put((executor, gpu))

    def _new(self, gpu: str | None) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(1, self._context, initializer=_start_worker, initargs=(gpu,))
        self._executors.add(executor)
        return executor

    def run(self, function: Callable[..., Result], *args: object) -> Result:
        """Call a module-level function in a worker and wait for it; waits for a worker to be free first.

        Raises: WorkerDied if the process ended; EngineClosed if the engine was left meanwhile; otherwise what the
        function raised.
        """
        executor, gpu = self._idle.get()
        over = EngineClosed(f"{function.__name__}: the run is over")
        try:
            with self._changing:
                if self._closed:
                    raise over
                call = executor.submit(_call, function, *args)
            return call.result()
        except (BrokenProcessPool, CancelledError):
            with self._changing:
                if self._closed:
                    raise over from None
                executor.shutdown(wait=False)
                self._executors.discard(executor)
                executor = self._new(gpu)
            raise WorkerDied(
                f"worker process died in {function.__name__}: out of memory, or a crash in a native library"
            ) from None
        finally:
            self._idle.put((executor, gpu))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Whoever waits in `run` is sent away; after an exception workers are stopped in the middle of their calls.

        Else a run that is cancelled would wait for the call that each is in, and so for the next signal, the last.
        """
        with self._changing:
            self._closed = True
            for executor in self._executors:
                workers = list((executor._processes or {}).values())
                executor.shutdown(wait=False, cancel_futures=True)
                for worker in workers if kind else ():
                    worker.kill()
