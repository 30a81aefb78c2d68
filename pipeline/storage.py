"""Where a run's objects lie. Every path of the pipeline's output goes through a Store."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import CleanCorpusError, ConfigError


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


class Store:
    """A folder of named objects; an object is either whole or not there, whenever the process dies.

    Keys are relative POSIX paths.
    Raises: ConfigError if the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / "work" / "tmp"
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._temporary):
                pass
        except OSError as error:
            raise ConfigError(f"output {root}: cannot be written: {error.strerror}; choose another OUTPUT") from None

    def path(self, key: str) -> Path:
        """The local path of an object, whether it is there or not."""
        return self.root / key

    def size(self, key: str) -> int | None:
        """Bytes of an object, None if it is not there."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys directly below a folder, sorted."""
        folder = self.path(prefix)
        if folder.is_dir():
            yield from sorted(f"{prefix}/{entry.name}" for entry in os.scandir(folder) if entry.is_file())

    def read(self, key: str) -> bytes:
        """A whole object.

        Raises: FileNotFoundError.
        """
        return self.path(key).read_bytes()

    @contextmanager
    def writer(self, key: str) -> Iterator[BinaryIO]:
        """A file that becomes the object when the block ends well, and nothing when it does not.

        Raises: StorageError if the disk is full or may not be written.
        """
        target = self.path(key)
        with explained(f"output {target}"):
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

    def write(self, key: str, data: bytes) -> None:
        """Put a whole object.

        Raises: StorageError as `writer`.
        """
        with self.writer(key) as file:
            file.write(data)

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        self.path(key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Throw away what killed processes left half written; only while no other run uses this store."""
        for entry in self._temporary.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
