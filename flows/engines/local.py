"""The engine on this machine: one process for each worker, forked from a server that has the libraries loaded."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Self

from clean_corpus.flows.engines.base import EngineClosed, NoWorkers, Result, WorkerDied, hung
from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.child_processes import end_with_parent
from clean_corpus.pipeline.core.surroundings import require_memory, require_semaphores
from clean_corpus.pipeline.storage import s3_client


def _forkserver() -> BaseContext:
    """Return the context of the server that workers are forked from: they share the memory of what it has imported,
    which is half of what each would need alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clean_corpus.flows.engines.preloaded"])
    return context


def warm_up() -> threading.Thread:
    """Start the server that workers are forked from, with its imports, while this process gets ready; return at once.

    The thread that is returned ends when the server is ready.
    """
    process = _forkserver().Process(target=os.getpid)

    def start() -> None:
        with suppress(OSError, EOFError):  # the engine will try again, and say so
            process.start()
            process.join()

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    return thread


class _RecordingContext:
    """A context of multiprocessing that remembers the processes started through it.

    An executor does not tell the processes that it has started, and cannot stop them in the middle of their calls.
    """

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self.processes: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:
        process = self._context.Process(*args, **kwargs)
        self.processes.append(process)
        return process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _Worker:
    """One worker process, which takes one call at a time; with `gpu` it sees that GPU alone, with "" none."""

    def __init__(self, gpu: str | None) -> None:
        self.gpu = gpu
        self._context = _RecordingContext(_forkserver())
        self.executor = ProcessPoolExecutor(1, self._context, initializer=_start_worker, initargs=(gpu,))
        # starts the process, and the server with its imports, before the first call
        self._first = self.executor.submit(os.getpid)

    @property
    def has_started(self) -> bool:
        """Whether the process has ever been ready for a call."""
        return self._first.done() and not self._first.cancelled() and self._first.exception() is None

    def stop(self, *, at_once: bool = False) -> None:
        """Let the process end after its call, or `at_once` in the middle of it."""
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in self._context.processes if at_once else ():
            process.kill()


def _start_worker(gpu: str | None) -> None:
    """Prepare a new worker process for its calls."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when CUDA is first used, which the preload must not do

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    torch.set_num_threads(1)
    s3_client.go_on()
    end_with_parent()


def _call(function: Callable[..., Result], *args: object) -> Result:
    try:
        return function(*args)
    finally:
        memory.return_freed_memory()


class LocalEngine:
    """As many worker processes as asked for, each with one thread; a worker that dies is replaced.

    With `gpus` worker i sees the GPU i modulo their number and no other; with an empty list none; with None all that
    the machine has. More workers than GPUs let one read and write while another computes, and hold a model each.
    Raises: ValueError if workers is less than 1; CleanCorpusError where there is too little memory, or processes cannot
    share semaphores; NoWorkers if a process cannot be started.
    """

    def __init__(self, workers: int, gpus: list[str] | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers}, at least 1 is needed")
        require_memory()
        require_semaphores()
        self.workers = self.slots = self.present = workers
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._changing, self._closed = threading.Lock(), False
        self._deaths_at_start, self._problem = 0, ""
        self._all: set[_Worker] = set()
        for i in range(workers):
            self._idle.put(self._added(None if gpus is None else gpus[i % len(gpus)] if gpus else ""))

    def run(self, function: Callable[..., Result], *args: object, limit_s: float | None = None) -> Result:
        """Call a module-level function in a worker that is free, wait for one if need be; return its result.

        Raises: WorkerDied if the process ended; WorkerHung if the call took longer than `limit_s`; EngineClosed if the
        engine was left meanwhile; otherwise what the function raised.
        """
        worker = self._idle.get()
        closed = EngineClosed(f"{function.__name__}: the run is over")
        try:
            with self._changing:
                if self._closed:
                    raise closed
                if self._problem:
                    raise NoWorkers(self._problem)
                call = worker.executor.submit(_call, function, *args)
            return call.result(timeout=limit_s)
        except TimeoutError:
            if call.done():  # the function's own
                return call.result()
            with self._changing:
                if self._closed:
                    raise closed from None
                worker = self._replace(worker)
            raise hung(function, limit_s or 0, "worker process") from None
        except (BrokenProcessPool, CancelledError):
            with self._changing:
                if self._closed:
                    raise closed from None
                if self._problem:
                    raise NoWorkers(self._problem) from None
                self._deaths_at_start = 0 if worker.has_started else self._deaths_at_start + 1
                if self._deaths_at_start >= max(3, self.workers):
                    raise self._given_up("each ended before it was ready") from None
                worker = self._replace(worker)
            raise WorkerDied(
                f"worker process died in {function.__name__}: out of memory, or a crash in a native library"
            ) from None
        finally:
            self._idle.put(worker)

    def _replace(self, lost: _Worker) -> _Worker:
        """Start another worker in the place of one that is dead, or hangs and is ended."""
        lost.stop(at_once=True)
        self._all.discard(lost)
        return self._added(lost.gpu)

    def _added(self, gpu: str | None) -> _Worker:
        """Start a worker.

        Raises: NoWorkers if that does not work, nor again.
        """
        for left in (2, 1, 0):
            try:
                worker = _Worker(gpu)
                self._all.add(worker)
                return worker
            except (OSError, EOFError, RuntimeError) as error:  # the server was killed; no thread or process to be had
                if not left:
                    raise self._given_up(f"{type(error).__name__}: {error}") from None
        raise AssertionError

    def _given_up(self, why: str) -> NoWorkers:
        """Have this and all further calls fail; return the error."""
        self._problem = (
            f"worker processes cannot be started: {why}; memory mostly: take fewer workers (engine.workers, --workers) "
            "or give more memory, about 1 GB for each and 1 GB besides"
        )
        for worker in self._all:
            worker.stop(at_once=True)
        return NoWorkers(self._problem)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Send away callers that wait in `run`; after an exception also stop workers in the middle of their calls.

        Otherwise a run that is cancelled would wait for the call of each worker, and so for the next signal, the last.
        """
        with self._changing:
            self._closed = True
            for worker in self._all:
                worker.stop(at_once=kind is not None)
