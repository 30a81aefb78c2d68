"""The folder that a training works in: locked against others, and kept in step with a bucket if --out is one."""

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
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice off the terminal in the block; it is for those who write trainings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.|torch\.utils\.data")
        yield


@contextmanager
def exclusive_folder(out: Location, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Give the block a folder to train in, which no other training uses: `out`, or one that is kept in step with it.

    Subfolders `leave_out` are not kept in step.
    Raises: ConfigError if another process trains in `out`, or it cannot be written.
    """
    if isinstance(out, S3Folder):
        with synced_folder(out, leave_out) as folder:
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


def synced_folder(out: S3Folder, leave_out: Collection[str] = ()) -> AbstractContextManager[Path]:
    """Return the context of a local folder that is kept in step with a bucket, whatever machine weights are cached on.

    Raises: as folder_sync.synced_folder.
    """
    return folder_sync.synced_folder(out, leave_out, {"{weights}": str(download_cache.folder())})


def final_location(path: Path, folder: Path, out: Location) -> Location:
    """Return where a file of the folder that `exclusive_folder` gave lies after its block."""
    return out / path.relative_to(folder).as_posix() if isinstance(out, S3Folder) else path
