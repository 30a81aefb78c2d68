"""Where the work of a shard runs. An engine hands each call to one long-lived worker that keeps its models loaded."""

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Self, TypeVar

from pipeline import memory
from pipeline.errors import CleanCorpusError

Result = TypeVar("Result")


class WorkerDied(CleanCorpusError):
    """A worker process ended in the middle of a call; the call may be made again."""


# Imported once, before workers are forked: they share its memory, half of what each would need alone.
_PRELOAD = ["enhancers.table", "librosa.filters", "pipeline.scoring", "pipeline.stages"]


def _start_worker() -> None:
    import signal

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
        memory.return_freed()


class LocalEngine:
    """As many worker processes as asked for, each with one thread; a worker that dies is replaced.

    Raises: ValueError if workers is less than 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers}, at least 1 is needed")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._idle: queue.Queue[ProcessPoolExecutor] = queue.Queue()
        for _ in range(workers):
            executor = self._new()
            executor.submit(os.getpid)  # starts the process, and the server with its imports, while others get ready
            self._idle.put(executor)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, initializer=_start_worker)

    def run(self, function: Callable[..., Result], *args: object) -> Result:
        """Call a module-level function in a worker and wait for it; waits for a worker to be free first.

        Raises: WorkerDied if the process ended; otherwise what the function raised.
        """
        executor = self._idle.get()
        try:
            return executor.submit(_call, function, *args).result()
        except BrokenProcessPool:
            executor.shutdown(wait=False)
            executor = self._new()
            raise WorkerDied(
                f"worker process died in {function.__name__}: out of memory, or a crash in a native library"
            ) from None
        finally:
            self._idle.put(executor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get().shutdown(wait=False, cancel_futures=True)
