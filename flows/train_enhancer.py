"""The flow `train-enhancer`: one row of the table of systems trained in a folder, or from where that stopped."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from clean_corpus.enhancers.training import recipes, train
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.flows import download_cache, shared_training
from clean_corpus.flows.training_folder import exclusive_folder, final_location, quiet_lightning
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import Location, LocationField


@task(name="train", cache_policy=NO_CACHE)
def train_row(name: str, speech: list[str], noise: list[str], out: Path, config: TrainConfig) -> Path:
    if config.start_from:
        config = config.model_copy(update={"start_from": download_cache.weights(config.start_from)})
    mix = config.mix.model_copy(update={"rirs": download_cache.rooms(config.mix.rirs)})
    config = config.model_copy(update={"mix": mix})
    return shared_training.share(config.devices, train.train, name, speech, noise, out, config)


@flow(name="train-enhancer")
def train_enhancer(
    name: str,
    speech: list[str],
    noise: list[str],
    out: LocationField,
    config: TrainConfig,
    recipe: str | None = None,
) -> Location:
    """Train a row on folders of recordings or on shards; return the location of the weights.

    What `config` leaves out is as the recipe says: the one named, else that of the row's paper.
    Raises: ConfigError if there is no such recipe, another process trains in `out`, and what `train`
    raises; a loss that is not finite is a CleanCorpusError.
    """
    if recipe := recipe or recipes.default_recipe(name):
        config = recipes.settings(recipes.load_recipe(recipe), config.model_dump(exclude_unset=True))
    with quiet_lightning(), exclusive_folder(out) as folder:
        try:
            return final_location(train_row(name, speech, noise, folder, config), folder, out)
        except FloatingPointError as error:
            raise CleanCorpusError(f"training of {name} in {out}: {error}") from None
