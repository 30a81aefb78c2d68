"""The interface of a store, through which all of the pipeline's output goes, and the error of storage that fails."""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import Location


class StorageError(CleanCorpusError):
    """Results cannot be written, or a service fails for good: the run stops, and can be continued once that is mended.

    Exit code 1.
    """


_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@contextmanager
def explain_disk_errors(what: str) -> Iterator[None]:
    """Turn the error of a full or forbidden disk, raised within the block, into a StorageError that names `what`."""
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
    """Named objects below one location; an object is either whole or absent, whenever the process dies.

    Keys are relative POSIX paths. `lateness_s` bounds how long a request takes: once its sender has looked at the
    clock, it takes effect within half of that, or never.
    """

    root: Location
    lateness_s: float = 86400.0  # S3 refuses a request 15 minutes after it was signed

    @abstractmethod
    def prepare(self) -> None:
        """Make the location if need be, and try to use it.

        Raises: ConfigError if it cannot be made, reached or written.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, None if it is absent."""

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield each key directly below a folder with the object's size in bytes, sorted."""
        found = ((key, self.size(key)) for key in self.keys(prefix))
        yield from ((key, size) for key, size in found if size is not None)

    @abstractmethod
    def age_s(self, key: str) -> float | None:
        """Return how long ago an object was written, by the clock of the place where it lies; None if it is absent."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys directly below a folder, sorted, but for hidden ones, which file managers leave."""

    @abstractmethod
    def walk(self, prefix: str) -> Iterator[str]:
        """Yield the keys at any depth below a folder, or of all objects for "", sorted."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes of a small object.

        Raises: FileNotFoundError if it is absent.
        """

    @abstractmethod
    def opened(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open a whole object as a local file for the length of the block.

        Raises: FileNotFoundError if it is absent.
        """

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return so many bytes of an object from `start` on; fewer where it ends, none behind its end.

        Raises: FileNotFoundError if it is absent.
        """
        with self.opened(key) as file:
            file.seek(start)
            return file.read(length)

    @abstractmethod
    def writer(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Open a file that becomes the object when the block ends without an error, and is dropped otherwise.

        Raises: StorageError if the location is full, cannot be reached or may not be written.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Put an object if none has its key; return False if another process was faster.

        Raises: StorageError as `writer`.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if it is absent."""

    def try_delete(self, key: str) -> bool:
        """Remove an object, and return whether that is over; if False, it may still happen, up to `lateness_s` later.

        Raises: StorageError if the deletion was refused.
        """
        self.delete(key)
        return True

    def tidy(self) -> None:
        """Remove empty folders, whose names may still tell of what lay in them; only while no other process writes."""
        return

    def remark_on_deletions(self) -> str | None:
        """Return a sentence on what stays of deleted objects, None if nothing does as far as is known."""
        return None

    @abstractmethod
    def folder(self, name: str, is_own: Callable[[str], bool] = bool) -> AbstractContextManager[Path]:
        """Give a folder to write, which becomes part of the store when the block ends without an error.

        It takes the place of the last one: what that had and this one has not is deleted, but for names below it of
        which `is_own` says that they are of others. In a local folder the block itself sees to that.
        """

    @abstractmethod
    def only_run(self) -> AbstractContextManager[None]:
        """Keep other runs out for the length of the block, and remove what killed runs left half written.

        Raises: ConfigError if another run uses this location.
        """

    def fence(self) -> int | None:
        """Return the fencing number of the run that `only_run` let in, after a look that no later run has one.

        None outside of `only_run`, and where the system's lock ends with its process, so that no number is needed.

        Raises: StorageError if another run has taken the location over.
        """
        return None

    def copy(self, source: BinaryIO, key: str) -> None:
        """Put the whole of an open file as an object.

        Raises: StorageError as `writer`.
        """
        source.seek(0)
        with self.writer(key) as file:
            shutil.copyfileobj(source, file)

    def write(self, key: str, data: bytes) -> None:
        """Put bytes as an object.

        Raises: StorageError as `writer`.
        """
        with self.writer(key) as file:
            file.write(data)
