"""The lease of a run on a bucket: one run at a time, and the end of a run that died."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.base import StorageError, Store

FOLDER = "work/lease"
LEASE_S = 60.0  # after which a run without a heartbeat counts as dead
HEARTBEAT_S = 10.0
LOG = logging.getLogger("clean_corpus")


class Lease:
    """The right to run on a bucket: the object with the highest number below work/lease, renewed while its run lives.

    A run takes the next number by one conditional put, so of several runs that find a dead one, one takes over. Ages
    are by the server's clock.

    Raises: ConfigError if another run is alive.
    """

    def __init__(self, store: Store, config: S3Config) -> None:
        self._store, self._config = store, config
        self._root: S3Folder = store.root
        self._beats, self._id = 0, uuid.uuid4().hex
        self._stop = threading.Event()
        held = sorted(store.keys(FOLDER))
        number = 1
        if held:
            self._wait_until_dead(held[-1])
            number = int(Path(held[-1]).stem) + 1
        self.key = f"{FOLDER}/{number:08d}.json"
        if not store.create(self.key, self._content()):
            raise ConfigError(f"output {store.root}: another run began there at this moment; wait for it")
        for key in held:
            store.delete(key)
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back, so that another run may begin."""
        self._stop.set()
        self._thread.join()  # a heartbeat on its way would outlive the lease
        try:
            self._store.delete(self.key)
        except (StorageError, ConfigError):
            LOG.warning("lease %s could not be given back; it ends in %d s", self.key, LEASE_S)

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            self._beats += 1
            try:
                self._store.write(self.key, self._content())
            except (StorageError, ConfigError) as error:
                LOG.warning("%s", error)  # the next heartbeat may come through; what is published is claimed anew

    def _content(self) -> bytes:
        content = {
            "host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "began": _start_time(os.getpid()),
            "beats": self._beats, "id": self._id,
        }  # fmt: skip
        return json.dumps(content).encode()

    def _wait_until_dead(self, key: str) -> None:
        """Return once the run that holds a lease is known to be dead.

        Raises: ConfigError once it is known to be alive.
        """
        bucket, name = self._root.bucket, self._root.key(key)
        first, start_s = s3_objects.head(bucket, name, self._config), time.monotonic()
        if first is None or self._died_on_this_machine(key):
            return
        if first.age_s < LEASE_S:
            LOG.warning("output %s is held by a run; waiting up to %d s for its sign of life", self._root, LEASE_S)
        while True:
            now = s3_objects.head(bucket, name, self._config)
            if now is None or (now.etag == first.etag and now.age_s > LEASE_S):
                return
            if now.etag != first.etag or time.monotonic() - start_s > 2 * LEASE_S:
                raise ConfigError(
                    f"output {self._root}: another run is writing there ({self._describe_holder(key)}); wait for it or "
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

    def _holder(self, key: str) -> dict[str, object] | None:
        try:
            return json.loads(self._store.read(key))
        except (FileNotFoundError, ValueError):
            return None


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
