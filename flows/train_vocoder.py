"""The flow `train-vocoder`: a WaveNet trained on shards in a folder, or from where that stopped."""

from functools import partial
from pathlib import Path

import torch
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from clean_corpus.flows import download_cache, shared_training
from clean_corpus.flows.training_folder import exclusive_folder, final_location, quiet_lightning
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import Location, LocationField
from clean_corpus.pipeline.training.shard_stream import find_shards
from clean_corpus.vocoder.training import train
from clean_corpus.vocoder.training.config import VocoderConfig


@task(name="train", cache_policy=NO_CACHE)
def train_wavenet(shards: list[str], out: Path, config: VocoderConfig, force: bool) -> Path:
    if config.start_from:
        config = config.model_copy(update={"start_from": download_cache.weights(config.start_from)})
    found = find_shards(shards, "SHARDS")
    if found is None:
        raise CleanCorpusError(f"SHARDS {', '.join(shards)}: no .tar there; give OUTPUT/shards of a run")
    processes = torch.cuda.device_count() or 1
    return shared_training.share(processes, partial(train.train, force=force), found, out, config)


@flow(name="train-vocoder")
def train_vocoder(shards: list[str], out: LocationField, config: VocoderConfig, force: bool = False) -> Location:
    """Train a vocoder on the clips of some shards, local or s3://; return the location of the weights.

    Raises: ConfigError if another process trains in `out`, and what `train` raises; a loss that is not
    finite is a CleanCorpusError.
    """
    with quiet_lightning(), exclusive_folder(out) as folder:
        try:
            return final_location(train_wavenet(shards, folder, config, force), folder, out)
        except FloatingPointError as error:
            raise CleanCorpusError(f"training in {out}: {error}") from None
