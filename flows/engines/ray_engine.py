"""The engine on Ray: an actor per worker, on one machine or many, that may come and go while a run is on."""

import hashlib
import pickle
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from clean_corpus.flows.engines.base import PRELOAD, EngineClosed, EngineConfig, NoWorkers, WorkerDied, hung
from clean_corpus.flows.engines.ray_cluster import connected
from clean_corpus.flows.engines.ray_worker import Worker, code_sha256
from clean_corpus.pipeline.core.errors import CleanCorpusError

Result = TypeVar("Result")


@dataclass(eq=False)
class _Actor:
    """An actor of Ray and what it is doing."""

    handle: Any
    free: int
    """Calls that it has room for."""
    location: str = ""
    reserved: bool = False
    """Whether it is for one call alone and gets no other."""


class RayEngine:
    """Workers on a Ray cluster. All are asked for at once; those that find room work, the others wait for it.

    A worker that dies, or goes with its machine, is replaced by a new one as soon as there is room. What was on it
    raises WorkerDied, and has a worker to itself when it is called again: a call that kills workers costs others one
    attempt and not all of theirs. Ray itself never repeats a call or restarts an actor, so attempts are counted once.
    Raises: ConfigError if there is no cluster to be had, see `ray_cluster.connected`.
    """

    def __init__(self, config: EngineConfig, *, preload: Sequence[str] = PRELOAD) -> None:
        self._config, self._preload = config, list(preload)
        self._each = 1 + config.ahead
        self._host, self._code = socket.gethostname(), code_sha256()
        self._change = threading.Condition()  # guards all below
        self._ready: list[_Actor] = []
        self._starting: dict[Any, _Actor] = {}
        self._running: dict[Any, _Actor] = {}
        self._suspects: set[bytes] = set()
        self._failed_starts, self._problem = 0, ""
        self._closed = False
        self._closing = ExitStack()
        self.workers, self._share = self._closing.enter_context(connected(config))
        self.slots = self.workers * self._each
        self._none_since = time.monotonic()
        for _ in range(self.workers):
            self._request()
        self._attendant = threading.Thread(target=self._attend, daemon=True)
        self._attendant.start()

    @property
    def present(self) -> int:
        """Number of workers that are ready now; the others wait for room."""
        return len(self._ready)

    # ---- calls

    def run(self, function: Callable[..., Result], *args: object, limit_s: float | None = None) -> Result:
        """Call a module-level function in a worker that is free, wait for one if need be; return its result.

        A call that shares its worker may take longer than `limit_s`, since it waits for the others there.
        Raises: WorkerDied if the process or its machine went, or a call that it shared with others hung; WorkerHung if
        the call took longer than `limit_s` and had the worker to itself; NoWorkers if there is none for
        config.start_timeout_s; EngineClosed if the engine was left meanwhile; otherwise what the function raised.
        """
        import ray

        pickled = ray.cloudpickle.dumps((function, args))
        name = hashlib.sha256(pickled).digest()
        is_alone = name in self._suspects or self._each == 1
        limit_s = limit_s and limit_s * (1 if is_alone else self._each)
        worker = self._take(alone=name in self._suspects)
        try:
            succeeded, result = pickle.loads(ray.get(worker.handle.call.remote(pickled), timeout=limit_s))
        except ray.exceptions.GetTimeoutError:
            self._suspects.add(name)
            self._replace(worker)
            error = hung(function, limit_s or 0, f"worker on {worker.location}")
            raise error if is_alone else WorkerDied(str(error)) from None
        except ray.exceptions.RayTaskError as error:
            raise CleanCorpusError(f"{function.__name__}: the worker's answer could not be read: {error}") from None
        except ray.exceptions.RayError as error:
            if self._closed:
                raise EngineClosed(f"{function.__name__}: the run is over") from None
            self._suspects.add(name)
            self._replace(worker)
            raise WorkerDied(f"worker on {worker.location} died in {function.__name__}: {_cause(error)}") from None
        finally:
            self._release(worker)
        self._suspects.discard(name)
        if succeeded:
            return result
        raise result

    def _take(self, *, alone: bool) -> _Actor:
        """Wait for a worker with room for a call; with `alone` for one that does nothing else meanwhile."""
        with self._change:
            while True:
                open_workers = [w for w in self._ready if not w.reserved and (alone or w.free)]
                if open_workers:
                    worker = max(open_workers, key=lambda w: w.free)  # the idle ones first
                    if not alone:
                        worker.free -= 1
                        return worker
                    worker.reserved = True
                    while worker in self._ready and worker.free < self._each:
                        self._wait()
                    if worker in self._ready:
                        worker.free -= 1
                        return worker
                self._wait()

    def _wait(self) -> None:
        """Wait until something changes.

        Raises: NoWorkers if nothing will; EngineClosed if the engine was left.
        """
        if self._closed:
            raise EngineClosed("the run is over; a call was waiting for a worker")
        if not self._ready:
            none_for_s = time.monotonic() - self._none_since
            if not self._starting or none_for_s > self._config.start_timeout_s:
                raise NoWorkers(self._why_none(none_for_s))
        self._change.wait(timeout=1)

    def _why_none(self, none_for_s: float) -> str:
        import ray

        if not self._starting:
            return f"no Ray worker could be started: {self._problem}"
        has = {name: f"{ray.cluster_resources().get(name, 0):g}" for name in ("CPU", "GPU")}
        return (
            f"no Ray worker for {none_for_s:.0f} s: each wants {self._config.cpus_per_worker:g} CPUs "
            f"(engine.cpus_per_worker) and {self._share:g} GPUs (engine.gpus_per_worker), the cluster has {has['CPU']} "
            f"CPUs and {has['GPU']} GPUs, used by others perhaps; ask for less, add machines, or set "
            f"engine.start_timeout_s higher{'; ' + self._problem if self._problem else ''}"
        )

    def _release(self, worker: _Actor) -> None:
        with self._change:
            worker.free += 1
            if worker.free == self._each:
                worker.reserved = False
            self._change.notify_all()

    # ---- workers that come and go

    def _request(self) -> None:
        """Ask the cluster for one more worker."""
        import ray

        actor = _Actor(
            ray.remote(Worker)
            .options(
                num_cpus=self._config.cpus_per_worker,
                num_gpus=self._share,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=self._each + 1,  # one is `wait_forever`
                scheduling_strategy="SPREAD",
            )
            .remote(gpu=bool(self._share)),
            free=self._each,
        )
        self._starting[actor.handle.ready.remote(self._preload)] = actor

    def _attend(self) -> None:
        """Admit workers that are ready and replace those that are gone; the work of a thread."""
        import ray

        while not self._closed:
            with self._change:
                known = [*self._starting, *self._running]
            if not known:
                time.sleep(0.1)
                continue
            for ref in ray.wait(known, num_returns=1, timeout=0.2)[0]:
                if ref in self._starting:
                    self._admit(ref)
                elif worker := self._running.get(ref):
                    self._replace(worker)

    def _admit(self, ref: Any) -> None:
        """Give calls to a worker that has started, unless it failed or has another version of this package."""
        import ray

        worker, problem = self._starting[ref], ""
        try:
            arrival = ray.get(ref)
            if arrival.host != self._host and arrival.code != self._code:  # here it is the same, edited perhaps
                problem = (
                    f"{arrival.node} has another version of clean-corpus (source {arrival.code}, here {self._code}); "
                    "install the same one on all machines"
                )
        except ray.exceptions.RayTaskError as error:
            problem = str(error).strip().splitlines()[-1]
        except ray.exceptions.RayError as error:
            problem = f"the process died while it started: {_cause(error)}"
        with self._change:
            del self._starting[ref]
            if problem:
                ray.kill(worker.handle)
                self._problem = problem
                self._failed_starts += 1
                if self._failed_starts < max(3, self.workers):  # else there is no end to it
                    self._request()
            else:
                self._failed_starts = 0
                worker.location = f"{arrival.node} (process {arrival.pid})"
                self._running[worker.handle.wait_forever.remote()] = worker
                self._ready.append(worker)
            self._change.notify_all()

    def _replace(self, worker: _Actor) -> None:
        """Ask for another worker in the place of one that is gone."""
        import ray

        with self._change:
            if self._closed or worker not in self._ready:
                return
            self._ready.remove(worker)
            self._running = {ref: other for ref, other in self._running.items() if other is not worker}
            if not self._ready:
                self._none_since = time.monotonic()
            ray.kill(worker.handle)  # one that cannot be reached may still be at work
            self._request()
            self._change.notify_all()

    # ---- the end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._attendant.join()
        self._closing.close()  # the actors are this connection's, and end with it


def _cause(error: Exception) -> str:
    """Return why a worker died, as far as Ray knows."""
    import ray

    text = str(error)
    if isinstance(error, ray.exceptions.ActorUnavailableError) or "its node has died" in text:
        return "its machine left the cluster, or cannot be reached"
    if isinstance(error, ray.exceptions.OutOfMemoryError) or "running low on memory" in text:
        return "its machine ran out of memory"
    return "out of memory, or a crash in a native library"
