"""A store in memory whose requests come one at a time, in the order that a test chooses, on a clock that it sets.

Each actor runs the project's own code in a thread of its own, halts before every request, and goes on when the test
says so. So a test decides what happens between any two requests, which answer gets lost, and where a process dies.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import lease
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.s3_objects import Head

LATENESS_S = 400.0

Fate = Literal["done", "unanswered", "late", "twice"]
"""What becomes of a request: it is done and answered; done and not answered; in flight, and not answered; done and
answered, with an earlier attempt at the same still in flight."""


class Killed(BaseException):
    """The actor's process is dead: nothing that it still tries has any effect."""


class NoAnswer(Exception):
    """No answer came to a request."""


@dataclass
class Stored:
    """An object in memory, with the time and the count of its writing."""

    data: bytes
    written_s: float
    count: int


@dataclass
class Request:
    """A request, and when it was made; `changes` if it is not just a question."""

    name: str
    key: str
    apply: Callable[[], Any]
    sent_s: float
    changes: bool


class World:
    """Objects, a clock, and requests in flight."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.objects: dict[str, Stored] = {}
        self.in_flight: list[Request] = []
        self.written: list[str] = []  # every key that was put, in order
        self.numbers: list[int] = []  # every fencing number that a run was given, in order
        self._count = 0

    def put(self, key: str, data: bytes) -> None:
        self._count += 1
        self.written.append(key)
        self.objects[key] = Stored(data, self.now_s, self._count)

    def create(self, key: str, data: bytes) -> bool:
        if key in self.objects:
            return False
        self.put(key, data)
        return True

    def is_too_late(self, request: Request) -> bool:
        """Whether a server refuses the request by now, since it was signed too long ago."""
        return self.now_s - request.sent_s > LATENESS_S / 2

    def deliver(self, index: int) -> None:
        """Have one of the requests in flight arrive."""
        request = self.in_flight.pop(index)
        if not self.is_too_late(request):
            request.apply()

    def sleep(self, seconds: float) -> None:
        """Stand in for time.sleep: a request that sets the clock on."""
        until_s = self.now_s + seconds

        def wake() -> None:
            self.now_s = max(self.now_s, until_s)

        self.ask("sleep", "", wake, changes=False)

    def ask(self, name: str, key: str, apply: Callable[[], Any], *, changes: bool) -> Any:
        """Make a request: at once if a test makes it, else when the test lets its actor go on.

        Raises: NoAnswer; StorageError if the request was signed too long ago.
        """
        actor = getattr(threading.current_thread(), "actor", None)
        request = Request(name, key, apply, self.now_s, changes)
        return apply() if actor is None else actor.wait_for(request)


class Actor:
    """One process: a function that is run in a thread from request to request."""

    def __init__(self, world: World, function: Callable[[], Any]) -> None:
        self.world, self.pending, self.error, self.result = world, None, None, None
        self.is_over = self._is_dead = False
        self._answer: Any = None
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, args=(function,), daemon=True)
        self._thread.actor = self
        self._thread.start()
        self._halted.acquire()

    def _main(self, function: Callable[[], Any]) -> None:
        try:
            self.result = function()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.is_over, self.pending = True, None
        self._halted.release()

    def wait_for(self, request: Request) -> Any:
        """Halt before a request, in the actor's own thread, and return or raise its answer."""
        if not self._is_dead:
            self.pending = request
            self._halted.release()
            self._go.acquire()
        if self._is_dead:
            raise Killed
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def step(self, fate: Fate = "done") -> None:
        """Decide on the pending request, and run on to the next."""
        request = self.pending
        self._answer = None
        if self.world.is_too_late(request) and request.name != "sleep":
            self._answer = StorageError("RequestTimeTooSkewed")
        else:
            if fate == "late":
                self._answer = NoAnswer()
            else:
                self._answer = request.apply()
                if fate == "unanswered":
                    self._answer = NoAnswer()
            # A deletion that must be over is attempted once: no earlier attempt can be in flight.
            if request.changes and (fate == "late" or (fate == "twice" and request.name != "try_delete")):
                self.world.in_flight.append(request)
        self._go.release()
        self._halted.acquire()

    def finish(self, limit: int = 400) -> None:
        """Run on to the end."""
        for _ in range(limit):
            if self.is_over:
                return
            self.step()
        raise AssertionError(f"no end after {limit} requests; the next is {self.pending}")

    def until(self, name: str | None, key: str) -> None:
        """Run on until a request of that name, or of any, is the next; `key` is what its key begins with."""
        while not (self.pending and name in (None, self.pending.name) and self.pending.key.startswith(key)):
            assert not self.is_over, f"it ended before {name} {key}: {self.error}"
            self.step()

    def kill(self) -> None:
        """End the process where it is; its pending request is never made."""
        if self.is_over:
            return
        self._is_dead = True
        self._go.release()
        self._thread.join()


class MemoryStore(lease.LeasableStore):
    """A process's view of the objects of a world, with the promises of a bucket."""

    lateness_s = LATENESS_S

    def __init__(self, world: World) -> None:
        self.world, self.root = world, S3Folder("memory")
        self.lease: lease.Lease | None = None

    def _question(self, name: str, key: str, apply: Callable[[], Any]) -> Any:
        try:
            return self.world.ask(name, key, apply, changes=False)
        except NoAnswer:
            raise StorageError(f"{name} {key}: no answer") from None

    def _change(self, name: str, key: str, apply: Callable[[], Any]) -> Any:
        try:
            return self.world.ask(name, key, apply, changes=True)
        except NoAnswer:
            raise StorageError(f"{name} {key}: no answer") from None

    # ---- questions

    def prepare(self) -> None:
        pass

    def head(self, key: str) -> Head | None:
        def apply() -> Head | None:
            found = self.world.objects.get(key)
            return found and Head(len(found.data), str(found.count), self.world.now_s - found.written_s)

        return self._question("head", key, apply)

    def size(self, key: str) -> int | None:
        found = self.head(key)
        return found and found.size

    def age_s(self, key: str) -> float | None:
        found = self.head(key)
        return found and found.age_s

    def _listed(self, prefix: str) -> list[tuple[str, int]]:
        def apply() -> list[tuple[str, int]]:
            found = self.world.objects.items()
            return sorted((key, len(stored.data)) for key, stored in found if key.startswith(f"{prefix}/"))

        return self._question("list", prefix, apply)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        yield from ((key, size) for key, size in self._listed(prefix) if "/" not in key.removeprefix(f"{prefix}/"))

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.sizes(prefix))

    def walk(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self._listed(prefix))

    def read(self, key: str) -> bytes:
        found = self._question("read", key, lambda: self.world.objects.get(key))
        if found is None:
            raise FileNotFoundError(key)
        return found.data

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.read(key))

    # ---- changes

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        file = io.BytesIO()
        yield file
        self._change("put", key, lambda: self.world.put(key, file.getvalue()))

    def put_in_time(self, key: str, data: bytes, *, within_s: float, attempt_s: float) -> None:
        self._change("put", key, lambda: self.world.put(key, data))

    def create(self, key: str, data: bytes) -> bool:
        return self._change("create", key, lambda: self.world.create(key, data))

    def delete(self, key: str) -> None:
        self._change("delete", key, lambda: self.world.objects.pop(key, None))

    def try_delete(self, key: str) -> bool:
        try:
            self.world.ask("try_delete", key, lambda: self.world.objects.pop(key, None), changes=True)
        except NoAnswer:
            return False
        return True

    def folder(self, name: str) -> Any:
        raise NotImplementedError

    # ---- the lease, renewed by the test

    @contextmanager
    def only_run(self) -> Iterator[None]:
        self.lease = lease.Lease(self)
        self.world.numbers.append(self.lease.number)
        try:
            yield
        finally:
            self.lease.release()
            self.lease = None

    def fence(self) -> int | None:
        return self.lease and self.lease.check()


def is_explained(error: BaseException | None) -> bool:
    """Whether an actor ended well, or with an error that a user can act on."""
    return error is None or isinstance(error, CleanCorpusError)
