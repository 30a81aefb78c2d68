"""Where a run's objects lie: a folder, or a prefix of a bucket. All of the pipeline's output goes through a Store."""

import errno
import hashlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.locations import Location, S3Folder


class StorageError(CleanCorpusError):
    """The place where results go cannot be written; the run stops and can be continued once that is mended."""


_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a full or forbidden disk within the block into a StorageError that names `what`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FATAL:
            raise
        raise StorageError(
            f"{what}: {os.strerror(error.errno)}; make room or mend the permissions, then run the same command again: "
            "finished work is kept"
        ) from None


class Store(ABC):
    """Named objects below a place; an object is either whole or not there, whenever the process dies.

    Keys are relative POSIX paths.
    """

    root: Location

    @abstractmethod
    def prepare(self) -> None:
        """Make the place if need be, and try it.

        Raises: ConfigError if it cannot be made, reached or written.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Bytes of an object, None if it is not there."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[str]:
        """Keys directly below a folder, sorted."""

    @abstractmethod
    def walk(self, prefix: str) -> Iterator[str]:
        """Keys anywhere below a folder, sorted."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """A whole small object.

        Raises: FileNotFoundError.
        """

    @abstractmethod
    def opened(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A whole object as an open local file.

        Raises: FileNotFoundError.
        """

    @abstractmethod
    def writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A file that becomes the object when the block ends well, and nothing when it does not.

        Raises: StorageError if the place is full, cannot be reached or may not be written.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Put an object that was not there, as the only one of many that try; False if another was faster.

        Raises: StorageError as `writer`.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object if it is there."""

    @abstractmethod
    def folder(self, name: str) -> AbstractContextManager[Path]:
        """Where to write a folder of files that becomes part of the store when the block ends well."""

    @abstractmethod
    def only_run(self) -> AbstractContextManager[None]:
        """Keep other runs out for the length of the block, and throw away what killed ones left half written.

        Raises: ConfigError if another run is at work here.
        """

    def copy(self, source: BinaryIO, key: str) -> None:
        """Put all of an open file as an object.

        Raises: StorageError as `writer`.
        """
        source.seek(0)
        with self.writer(key) as file:
            shutil.copyfileobj(source, file)

    def write(self, key: str, data: bytes) -> None:
        """Put a whole object.

        Raises: StorageError as `writer`.
        """
        with self.writer(key) as file:
            file.write(data)


def open_store(root: Location, s3: S3Config) -> Store:
    """The store of a place."""
    if isinstance(root, S3Folder):
        from clean_corpus.pipeline.storage.s3 import S3Store

        return S3Store(root, s3)
    return LocalStore(root)


class LocalStore(Store):
    """A folder."""

    root: Path

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / "work" / "tmp"

    def prepare(self) -> None:
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._temporary):
                pass
        except OSError as error:
            raise ConfigError(f"output {self.root}: cannot be written: {error.strerror}; choose another") from None

    def path(self, key: str) -> Path:
        """The local path of an object, whether it is there or not."""
        return self.root / key

    def size(self, key: str) -> int | None:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        folder = self.path(prefix)
        if folder.is_dir():
            yield from sorted(f"{prefix}/{entry.name}" for entry in os.scandir(folder) if entry.is_file())

    def read(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        with self.path(key).open("rb") as file:
            yield file

    def walk(self, prefix: str) -> Iterator[str]:
        found = (Path(folder, name) for folder, _, names in os.walk(self.path(prefix)) for name in names)
        yield from sorted(path.relative_to(self.root).as_posix() for path in found)

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        target = self.path(key)
        with explained(f"output {target}"):
            self._temporary.mkdir(parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(dir=self._temporary, delete=False)  # noqa: SIM115 - closed below, then renamed
            try:
                with file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file.name, target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def create(self, key: str, data: bytes) -> bool:
        target = self.path(key)
        with explained(f"output {target}"):
            self._temporary.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._temporary) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                try:
                    os.link(file.name, target)
                except FileExistsError:
                    return False
        return True

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        with explained(f"output {self.path(name)}"):
            yield self.path(name)

    @contextmanager
    def only_run(self) -> Iterator[None]:
        lock = FileLock(self.path("work/.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ConfigError(
                f"output {self.root}: another run is writing there; wait for it or choose another"
            ) from None
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            for entry in self._temporary.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            yield
        finally:
            lock.release()


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
