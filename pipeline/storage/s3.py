"""A store in a bucket: whole objects, a small cache of what this process read and wrote, and a lease for one run."""

import json
import logging
import mimetypes
import os
import socket
import tempfile
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import s3_client
from clean_corpus.pipeline.storage.base import StorageError, Store, explained

CACHE_BYTES = 512 * 2**20  # a process; what one stage wrote is mostly read by the next
LEASE_S = 60.0  # a run that gave no sign of life for so long is dead
BEAT_S = 10.0
LOG = logging.getLogger("clean_corpus")


@contextmanager
def _stored(where: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise StorageError(f"output {error}; run the same command again: finished work is kept") from None


class _Cache:
    """Files without a name, so that a process that is killed leaves nothing; each is in one pair of hands at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[BinaryIO, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> BinaryIO | None:
        with self._lock:
            file, _ = self._files.pop(name, (None, 0))
        return file

    def put(self, name: str, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        dropped: list[BinaryIO] = []
        with self._lock:
            twin, _ = self._files.pop(name, (None, 0))
            self._files[name] = file, size
            while self._files and sum(n for _, n in self._files.values()) > CACHE_BYTES:
                dropped.append(self._files.popitem(last=False)[1][0])
        for old in (twin, *dropped):
            if old:
                old.close()


_cache = _Cache()


class S3Store(Store):
    """Objects below a prefix of a bucket."""

    root: S3Folder

    def __init__(self, root: S3Folder, config: S3Config) -> None:
        self.root, self.config = root, config

    def prepare(self) -> None:
        try:
            next(self.keys("versions"), None)
        except StorageError as error:
            raise ConfigError(f"{error}") from None

    def _key(self, key: str) -> tuple[str, str]:
        return self.root.bucket, self.root.key(key)

    def size(self, key: str) -> int | None:
        with _stored(key):
            found = s3_client.head(*self._key(key), self.config)
        return found and found.size

    def keys(self, prefix: str) -> Iterator[str]:
        return self._listed(prefix, "/")

    def walk(self, prefix: str) -> Iterator[str]:
        return self._listed(prefix, "")

    def _listed(self, prefix: str, delimiter: str) -> Iterator[str]:
        bucket, start = self._key(f"{prefix}/")
        below = len(s3_client.folder_of(self.root))
        with _stored(prefix):
            for found in s3_client.listed(bucket, start, delimiter, self.config):
                yield found.key[below:]

    def read(self, key: str) -> bytes:
        with _stored(key):
            data = s3_client.read(*self._key(key), self.config)
        if data is None:
            raise FileNotFoundError(str(self.root / key))
        return data

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        name = str(self.root / key)
        file = _cache.take(name) or self._downloaded(key)
        try:
            file.seek(0)
            yield file
        finally:
            _cache.put(name, file)

    def _downloaded(self, key: str) -> BinaryIO:
        with explained("temporary folder"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - goes into the cache
            with _stored(key):
                if not s3_client.download_into(file, *self._key(key), self.config):
                    file.close()
                    raise FileNotFoundError(str(self.root / key))
        return file

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        with explained("temporary folder"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - goes into the cache
            try:
                yield file
                file.flush()
            except BaseException:
                file.close()
                raise
        with _stored(key):
            s3_client.upload(file, *self._key(key), self.config)
        _cache.put(str(self.root / key), file)

    def create(self, key: str, data: bytes) -> bool:
        with _stored(key):
            return s3_client.create(*self._key(key), data, self.config)

    def delete(self, key: str) -> None:
        if file := _cache.take(str(self.root / key)):
            file.close()
        with _stored(key):
            s3_client.delete(*self._key(key), self.config)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        stale = set(self.walk(name))
        with tempfile.TemporaryDirectory() as temporary:
            with explained("temporary folder"):
                yield Path(temporary, name)
            files = sorted(
                (p for p in Path(temporary, name).rglob("*") if p.is_file()), key=lambda p: p.suffix == ".html"
            )
            for path in files:  # pages last: what they show is there already
                key = path.relative_to(temporary).as_posix()
                kind = mimetypes.guess_type(path.name)[0]
                with _stored(key), path.open("rb") as file:
                    s3_client.upload(file, *self._key(key), self.config, kind)
                stale.discard(key)
        for key in stale:
            self.delete(key)

    @contextmanager
    def only_run(self) -> Iterator[None]:
        lease = Lease(self)
        try:
            yield
        finally:
            lease.release()


class Lease:
    """The right to run on a store: the highest numbered object below work/lease, renewed while its holder lives.

    The next number is claimed by one conditional put, so of several runs that see a dead holder one takes over. Ages
    are by the server's clock.
    Raises: ConfigError if another run is alive.
    """

    def __init__(self, store: S3Store) -> None:
        self._store, self._beats, self._id = store, 0, uuid.uuid4().hex
        self._stop = threading.Event()
        held = sorted(store.keys("work/lease"))
        number = 1
        if held:
            self._wait_until_dead(held[-1])
            number = int(Path(held[-1]).stem) + 1
        self.key = f"work/lease/{number:08d}.json"
        if not store.create(self.key, self._sign()):
            raise ConfigError(f"output {store.root}: another run began there at this moment; wait for it")
        for key in held:
            store.delete(key)
        self._beating = threading.Thread(target=self._renew, daemon=True)
        self._beating.start()

    def _wait_until_dead(self, key: str) -> None:
        """Returns once the holder is known to be dead."""
        bucket, name = self._store.root.bucket, self._store.root.key(key)
        first, began = s3_client.head(bucket, name, self._store.config), time.monotonic()
        if first is None or self._died_here(key):
            return
        if first.age_s < LEASE_S:
            LOG.warning(
                "output %s is held by a run; waiting up to %d s for its sign of life", self._store.root, LEASE_S
            )
        while True:
            now = s3_client.head(bucket, name, self._store.config)
            if now is None or (now.etag == first.etag and now.age_s > LEASE_S):
                return
            if now.etag != first.etag or time.monotonic() - began > 2 * LEASE_S:
                raise ConfigError(
                    f"output {self._store.root}: another run is writing there ({self._holder(key)}); wait for it or "
                    "choose another"
                )
            time.sleep(BEAT_S / 10)

    def _holder(self, key: str) -> str:
        try:
            signed = json.loads(self._store.read(key))
        except (FileNotFoundError, ValueError):
            return "it has just ended"
        return f"process {signed.get('pid')} on {signed.get('host')}"

    def _died_here(self, key: str) -> bool:
        """Whether the holder was a process of this machine that is no longer there."""
        try:
            signed = json.loads(self._store.read(key))
        except (FileNotFoundError, ValueError):
            return False
        machine = _machine()
        return bool(machine) and signed.get("machine") == machine and _began(signed.get("pid")) != signed.get("began")

    def _sign(self) -> bytes:
        signed = {
            "host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "began": _began(os.getpid()),
            "beats": self._beats, "id": self._id,
        }  # fmt: skip
        return json.dumps(signed).encode()

    def _renew(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._beats += 1
            try:
                self._store.write(self.key, self._sign())
            except (StorageError, ConfigError) as error:
                LOG.warning("%s", error)  # the next beat may come through; what is published is claimed anew

    def release(self) -> None:
        """Let others run."""
        self._stop.set()
        self._beating.join()  # a beat on its way would outlive the lease
        try:
            self._store.delete(self.key)
        except (StorageError, ConfigError):
            LOG.warning("lease %s could not be given back; it ends in %d s", self.key, LEASE_S)


def _machine() -> str | None:
    """What tells this machine, since it was started, and this container on it, from others; None where it cannot."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _began(pid: object) -> str | None:
    """When a process began, by the kernel's count; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
