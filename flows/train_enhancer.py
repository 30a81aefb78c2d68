"""The flow `train-enhancer`: one row of the table of systems trained in a folder, or from where that stopped."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from enhancers import train
from enhancers.train import TrainConfig
from pipeline.errors import CleanCorpusError, ConfigError


@task(name="train", cache_policy=NO_CACHE)
def train_row(name: str, speech: list[str], noise: list[str], out: Path, config: TrainConfig) -> Path:
    say = partial(Console(stderr=True).print, markup=False, highlight=False)
    return train.train(name, speech, noise, out, config, say)


@flow(name="train-enhancer")
def train_enhancer(name: str, speech: list[str], noise: list[str], out: Path, config: TrainConfig) -> Path:
    """Train a row on folders of recordings or on shards; returns the path of the weights.

    Raises: ConfigError if another process trains in `out`, and what `enhancers.train.train` raises; a loss that is not
    finite is a CleanCorpusError.
    """
    with _quiet(), _only_run(out):
        try:
            return train_row(name, speech, noise, out, config)
        except FloatingPointError as error:
            raise CleanCorpusError(f"training of {name} in {out}: {error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice, which is for those who write trainings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.|torch\.utils\.data")
        yield


@contextmanager
def _only_run(out: Path) -> Iterator[None]:
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
