"""What the flows around trainings share: one run a folder, and a library that keeps its advice to itself."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import ConfigError


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice, which is for those who write trainings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.|torch\.utils\.data")
        yield


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Raises: ConfigError if another process trains in `out`, or it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(f"output {out}: another training writes there; wait for it or choose another") from None
    except OSError as error:
        raise ConfigError(f"output {out}: cannot be written: {error.strerror}; choose another --out") from None
    try:
        yield
    finally:
        lock.release()
