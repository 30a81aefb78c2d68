"""What the flows around trainings share: one run a place, and a library that keeps its advice to itself."""

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from clean_corpus.flows import download_cache
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.training import folder_sync


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice, which is for those who write trainings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.|torch\.utils\.data")
        yield


@contextmanager
def only_run(out: Location, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """The folder to train in: `out`, or a local one that is kept in step with it, without its subfolders `leave_out`.

    Raises: ConfigError if another process trains in `out`, or it cannot be written.
    """
    if isinstance(out, S3Folder):
        with synced(out, leave_out) as folder:
            yield folder
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(f"output {out}: another training writes there; wait for it or choose another") from None
    except OSError as error:
        raise ConfigError(f"output {out}: cannot be written: {error.strerror}; choose another --out") from None
    try:
        yield out
    finally:
        lock.release()


def synced(out: S3Folder, leave_out: Collection[str] = ()) -> AbstractContextManager[Path]:
    """Return the context of a local folder that is kept in step with a bucket, of a training that may use the cache.

    Raises: as folder_sync.synced_folder.
    """
    return folder_sync.synced_folder(out, leave_out, {"{weights}": str(download_cache.folder())})


def working_folder(out: Location) -> Path:
    """The folder that `only_run` gave to the process that has started this one as a helper."""
    return folder_sync.helper_folder() if isinstance(out, S3Folder) else out


def lasting(path: Path, folder: Path, out: Location) -> Location:
    """Where a file of the folder that `only_run` gave lies after its block."""
    return out / path.relative_to(folder).as_posix() if isinstance(out, S3Folder) else path
