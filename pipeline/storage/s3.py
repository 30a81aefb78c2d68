"""A store in a bucket, with a small cache of what this process read and wrote."""

import mimetypes
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import lease, s3_objects
from clean_corpus.pipeline.storage.base import StorageError, explain_disk_errors

CACHE_BYTES = 512 * 2**20  # a process; what one stage wrote is mostly read by the next
CACHE_FILES = 128  # each is a descriptor, and an export writes a million small files


@contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise StorageError(f"output {error}; run the same command again: finished work is kept") from None


class _Cache:
    """Copies of objects in files without a name, so that a process that is killed leaves nothing; least used go first.

    A file is out of the cache while somebody reads it, so no two readers share its position.
    """

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
            replaced, _ = self._files.pop(name, (None, 0))
            self._files[name] = file, size
            while self._files and (
                len(self._files) > CACHE_FILES or sum(n for _, n in self._files.values()) > CACHE_BYTES
            ):
                dropped.append(self._files.popitem(last=False)[1][0])
        for old in (replaced, *dropped):
            if old:
                old.close()


_cache = _Cache()


class S3Store(lease.LeasableStore):
    """Objects below a prefix of a bucket; see Store for what each method promises."""

    root: S3Folder

    def __init__(self, root: S3Folder, config: S3Config) -> None:
        self.root, self.config = root, config
        self._lease: lease.Lease | None = None

    def prepare(self) -> None:
        try:
            next(s3_objects.list_objects(*self._address("versions/"), "/", self.config), None)
        except DataError as error:  # not of a service that has answered before: its StorageError stays one
            raise ConfigError(f"output {error}") from None

    def head(self, key: str) -> s3_objects.Head | None:
        with _as_storage_error():
            return s3_objects.head(*self._address(key), self.config)

    def size(self, key: str) -> int | None:
        found = self.head(key)
        return found and found.size

    def age_s(self, key: str) -> float | None:
        found = self.head(key)
        return found and found.age_s

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        found = self._list(prefix, "/")  # consoles make an empty object of a folder, "NAME/"
        return ((key, size) for key, size in found if not key.rpartition("/")[2].startswith(".") and key[-1:] != "/")

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.sizes(prefix))

    def walk(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self._list(prefix, ""))

    def read(self, key: str) -> bytes:
        with _as_storage_error():
            data = s3_objects.read(*self._address(key), self.config)
        if data is None:
            raise FileNotFoundError(str(self.root / key))
        return data

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with _as_storage_error():
            data = s3_objects.read_range(*self._address(key), start, length, self.config)
        if data is None:
            raise FileNotFoundError(str(self.root / key))
        return data

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        name = str(self.root / key)
        file = _cache.take(name) or self._download(key)
        try:
            file.seek(0)
            yield file
        finally:
            _cache.put(name, file)

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        with explain_disk_errors("temporary folder"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - goes into the cache
            try:
                yield file
                file.flush()
            except BaseException:
                file.close()
                raise
        with _as_storage_error():
            s3_objects.upload(file, *self._address(key), self.config)
        _cache.put(str(self.root / key), file)

    def create(self, key: str, data: bytes) -> bool:
        with _as_storage_error():
            return s3_objects.create(*self._address(key), data, self.config)

    def put_in_time(self, key: str, data: bytes, *, within_s: float, attempt_s: float) -> None:
        with _as_storage_error():
            s3_objects.put_in_time(*self._address(key), data, self.config, within_s=within_s, attempt_s=attempt_s)

    def delete(self, key: str) -> None:
        self._forget(key)
        with _as_storage_error():
            s3_objects.delete(*self._address(key), self.config)

    def try_delete(self, key: str) -> bool:
        self._forget(key)
        with _as_storage_error():
            return s3_objects.try_delete(*self._address(key), self.config)

    def remark_on_deletions(self) -> str | None:
        with _as_storage_error():
            kept = s3_objects.keeps_deleted(self.root.bucket, self.config)
        if kept is False:
            return None
        told = "keeps deleted objects (its versioning is on, or was)" if kept else "may keep deleted objects"
        why = "" if kept else "; whether its versioning is on may not be asked with these credentials"
        return (
            f"bucket {self.root.bucket} {told}{why}: audio and text stay in the noncurrent versions below "
            f"{self.root.key_prefix or 'the whole bucket'} until you delete them, see docs/OPERATIONS.md"
        )

    @contextmanager
    def folder(self, name: str, is_own: Callable[[str], bool] = bool) -> Iterator[Path]:
        stale = {key for key in self.walk(name) if is_own(key.removeprefix(f"{name}/"))}
        with ScratchFolder() as temporary:
            with explain_disk_errors("temporary folder"):
                yield Path(temporary, name)
            files = (p for p in Path(temporary, name).rglob("*") if p.is_file())
            for path in sorted(files, key=lambda p: p.suffix == ".html"):  # pages after the files that they show
                key = path.relative_to(temporary).as_posix()
                content_type = mimetypes.guess_type(path.name)[0]
                with _as_storage_error(), path.open("rb") as file:
                    s3_objects.upload(file, *self._address(key), self.config, content_type)
                stale.discard(key)
        for key in stale:
            self.delete(key)

    @contextmanager
    def only_run(self) -> Iterator[None]:
        with lease.held(self) as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def fence(self) -> int | None:
        return self._lease and self._lease.check()

    def _forget(self, key: str) -> None:
        if file := _cache.take(str(self.root / key)):
            file.close()

    def _address(self, key: str) -> tuple[str, str]:
        return self.root.bucket, self.root.key(key)

    def _list(self, prefix: str, delimiter: str) -> Iterator[tuple[str, int]]:
        with _as_storage_error():
            for found in s3_objects.list_objects(
                *self._address(f"{prefix}/" if prefix else ""), delimiter, self.config
            ):
                yield self.root.relative(found.key), found.size

    def _download(self, key: str) -> BinaryIO:
        with explain_disk_errors("temporary folder"):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - goes into the cache
            with _as_storage_error():
                if not s3_objects.download_into(file, *self._address(key), self.config):
                    file.close()
                    raise FileNotFoundError(str(self.root / key))
        return file
