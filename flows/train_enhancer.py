"""The flow `train-enhancer`: one row of the table of systems trained in a folder, or from where that stopped."""

from functools import partial
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from enhancers import train
from enhancers.train import TrainConfig
from flows.running import only_run, quiet
from pipeline.errors import CleanCorpusError


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
    with quiet(), only_run(out):
        try:
            return train_row(name, speech, noise, out, config)
        except FloatingPointError as error:
            raise CleanCorpusError(f"training of {name} in {out}: {error}") from None
