"""A store in a local folder: objects are files that are written under a temporary name and renamed."""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import new_file
from clean_corpus.pipeline.storage.base import StorageError, Store, explain_disk_errors

_CANNOT_COMMIT = "its file system has neither hard links nor locks, without which no version can be committed"


class LocalStore(Store):
    """Objects as files below a folder; see Store for what each method promises."""

    root: Path
    lateness_s = 3600.0  # a system call is not late, but a process may be halted before it

    def __init__(self, root: Path, temporary: Path | None = None) -> None:
        """Files are written in `temporary` before they get their names: a folder of the same file system."""
        self.root = root
        self._temporary = temporary or root / "work" / "tmp"

    def prepare(self) -> None:
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._temporary):
                pass
        except OSError as error:
            raise ConfigError(f"output {self.root}: cannot be written: {error.strerror}; choose another") from None

    def path(self, key: str) -> Path:
        """Return the path of an object, present or absent."""
        return self.root / key

    def size(self, key: str) -> int | None:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def age_s(self, key: str) -> float | None:
        try:
            return time.time() - self.path(key).stat().st_mtime
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        folder = self.path(prefix)
        if folder.is_dir():
            shown = (entry for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_file())
            yield from sorted(f"{prefix}/{entry.name}" for entry in shown)

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
        with explain_disk_errors(f"output {target}"):
            self._temporary.mkdir(parents=True, exist_ok=True)
            with new_file(self._temporary) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file.name, target)

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def tidy(self) -> None:
        for folder, _, _ in os.walk(self.root, topdown=False):
            if Path(folder) not in (self.root, self._temporary):
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(folder)

    def create(self, key: str, data: bytes) -> bool:
        target = self.path(key)
        with explain_disk_errors(f"output {target}"):
            self._temporary.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with new_file(self._temporary) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                return self._place_if_absent(file.name, target)

    def _place_if_absent(self, written: str, target: Path) -> bool:
        """Give a written file its name unless that is taken; return False if it is. The file is whole from the start.

        File systems without hard links (exFAT, many network and FUSE mounts) rename it while no one else may.
        """
        try:
            os.link(written, target)
        except FileExistsError:
            return False
        except OSError:
            with FileLock(self.path("work/.create")):
                if os.path.lexists(target):
                    return False
                os.replace(written, target)
        return True

    def _require_create(self) -> None:
        """Try what the commit at the end of a run needs.

        Raises: ConfigError if this file system cannot do it.
        """
        probe = f"work/tmp/probe-{secrets.token_hex(8)}"
        try:
            created = [self.create(probe, b"") for _ in range(2)]
            self.delete(probe)
        except (OSError, StorageError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"output {self.root}: {_CANNOT_COMMIT} ({reason}); choose a folder elsewhere") from None
        if created != [True, False]:
            raise ConfigError(f"output {self.root}: {_CANNOT_COMMIT}; choose a folder elsewhere")

    @contextmanager
    def folder(self, name: str, is_own: Callable[[str], bool] = bool) -> Iterator[Path]:
        with explain_disk_errors(f"output {self.path(name)}"):
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
        except OSError as error:
            raise ConfigError(
                f"output {self.root}: its file system cannot lock files ({error.strerror}), so two runs could write "
                "there at once; choose a folder elsewhere"
            ) from None
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
            for entry in self._temporary.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._require_create()
            yield
        finally:
            lock.release()
