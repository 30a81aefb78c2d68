"""The lease of a run on a bucket: one run at a time, each with a higher number, and the end of a run that died."""

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.storage.base import StorageError, Store
from clean_corpus.pipeline.storage.s3_objects import Head

FOLDER = "work/lease"  # what living runs renew
FENCE = "fence"  # the highest number so far; outside of work/, which may be emptied
LEASE_S = 60.0  # after which a run without a heartbeat counts as dead
HEARTBEAT_S = 10.0
LOG = logging.getLogger("clean_corpus")


class LeasableStore(Store):
    """A store without a lock that ends with its process, so that runs hold a lease there."""

    @abstractmethod
    def head(self, key: str) -> Head | None:
        """Return size, etag and age of an object, None if it is absent."""

    @abstractmethod
    def put_in_time(self, key: str, data: bytes, *, within_s: float, attempt_s: float) -> None:
        """Put bytes as an object, and give up before `within_s` are over, each attempt after `attempt_s`.

        Raises: StorageError if it was not put in time.
        """


class LeaseLost(StorageError):
    """Another run has taken the location over."""


@contextmanager
def held(store: LeasableStore) -> Iterator["Lease"]:
    """Hold the lease of a bucket in the block, renewed by a thread, and give it back at the end.

    Raises: ConfigError if another run is alive.
    """
    lease, stop = Lease(store), threading.Event()
    thread = threading.Thread(target=_beat, args=(lease, stop), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()  # a heartbeat on its way would outlive the lease
        lease.release()


def _beat(lease: "Lease", stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        try:
            lease.renew()
        except LeaseLost as error:
            LOG.warning("%s", error)
            return
        except (StorageError, ConfigError) as error:
            LOG.warning("%s", error)  # the next heartbeat may come through


class Lease:
    """The right to run on a bucket, with a number that is higher than that of every run before.

    A run claims the next number by a conditional put below work/lease, which it renews, and by a second one below
    fence/, which stays until a higher number is there: so numbers grow over releases, crashes and takeovers, and a run
    that was silent for long can tell that it has been taken over. Of several runs that find a dead one, one takes over.
    Ages are by the server's clock. Leases of older releases have no number in them, and are respected.

    Raises: ConfigError if another run is alive.
    """

    def __init__(self, store: LeasableStore) -> None:
        self._store = store
        self._beats, self._id = 0, uuid.uuid4().hex
        leases, marks = self._listed()
        for number, key in sorted(leases.items()):
            if number >= max(marks, default=0) or (self._holder(key) or {}).get("number") is None:
                self._wait_until_dead(key)
        self.number = max((*leases, *marks), default=0) + 1
        self.key = f"{FOLDER}/{self.number:08d}.json"
        self._renewed_s = clock.now_s()
        self._claim()
        for key in (*leases.values(), *marks.values()):
            store.delete(key)

    def check(self) -> int:
        """Return the number, after a look that no later run has a higher one.

        Raises: LeaseLost if one has.
        """
        leases, marks = self._listed()
        if max((*leases, *marks), default=0) > self.number:
            raise LeaseLost(
                f"output {self._store.root}: this run gave no sign of life for long, and another has taken the place "
                "over; what this one made since is not kept"
            )
        return self.number

    def renew(self) -> None:
        """Give a sign of life, and stop trying before the lease ends: what came later would look alive when it is not.

        Raises: StorageError if that failed; LeaseLost if it had ended before, and another run has taken over.
        """
        attempt_s, sent_s = LEASE_S / 6, clock.now_s()
        left_s = self._renewed_s + LEASE_S - sent_s
        if left_s < attempt_s:
            self.check()
            left_s, sent_s = LEASE_S, clock.now_s()
        self._beats += 1
        self._store.put_in_time(self.key, self._content(), within_s=left_s, attempt_s=attempt_s)
        self._renewed_s = sent_s

    def release(self) -> None:
        """Give the lease back, so that another run may begin; its number stays."""
        try:
            self._store.delete(self.key)
        except (StorageError, ConfigError):
            LOG.warning("lease %s could not be given back; it ends in %d s", self.key, LEASE_S)

    # ---- taking it

    def _claim(self) -> None:
        """Take the number, and look that nobody has got further since.

        The lease is put first: whoever sees the mark has seen a lease, and waits until that is dead or given back.
        """
        mark = f"{FENCE}/{self.number:08d}.json"
        if self._store.create(self.key, self._content()):
            try:
                if self._store.create(mark, self._content()):
                    self.check()
                    return
            except LeaseLost:
                pass
            self.release()
        raise ConfigError(f"output {self._store.root}: another run began there at this moment; wait for it")

    def _listed(self) -> tuple[dict[int, str], dict[int, str]]:
        """Return the keys of leases and of marks by their numbers.

        Marks are listed first: a mark's lease was put before it, so a run with a mark and no lease has given it back.
        """
        marks = _numbered(self._store.keys(FENCE))
        return _numbered(self._store.keys(FOLDER)), marks

    def _content(self) -> bytes:
        content = {
            "host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "began": _start_time(os.getpid()),
            "beats": self._beats, "id": self._id, "number": self.number,
        }  # fmt: skip
        return json.dumps(content).encode()

    # ---- the run before

    def _wait_until_dead(self, key: str) -> None:
        """Return once the run that holds a lease is known to be dead.

        Raises: ConfigError once it is known to be alive.
        """
        root = self._store.root
        first, start_s = self._store.head(key), clock.now_s()
        if first is None or self._died_on_this_machine(key):
            return
        if first.age_s < LEASE_S:
            LOG.warning("output %s is held by a run; waiting up to %d s for its sign of life", root, LEASE_S)
        while True:
            now = self._store.head(key)
            if now is None or (now.etag == first.etag and now.age_s > LEASE_S):
                return
            if now.etag != first.etag or clock.now_s() - start_s > 2 * LEASE_S:
                raise ConfigError(
                    f"output {root}: another run is writing there ({self._describe_holder(key)}); wait for it or "
                    "choose another"
                )
            time.sleep(HEARTBEAT_S / 10)

    def _describe_holder(self, key: str) -> str:
        holder = self._holder(key)
        return "it has just ended" if holder is None else f"process {holder.get('pid')} on {holder.get('host')}"

    def _died_on_this_machine(self, key: str) -> bool:
        """Return whether the holder was a process of this machine and has ended."""
        holder, machine = self._holder(key), _machine()
        if holder is None or not machine or holder.get("machine") != machine:
            return False
        return _start_time(holder.get("pid")) != holder.get("began")

    def _holder(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads(self._store.read(key))
        except (FileNotFoundError, ValueError):
            return None


def _numbered(keys: Iterator[str]) -> dict[int, str]:
    found = ((re.search(r"/(\d+)\.json$", key), key) for key in keys)
    return {int(match[1]): key for match, key in found if match}


def _machine() -> str | None:
    """Return a name of this machine since its start, and of this container on it; None where the kernel gives none."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start_time(pid: object) -> str | None:
    """Return when a process began, by the kernel's clock; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
