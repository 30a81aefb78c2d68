"""The commands of training: of enhancers and vocoders as flows, and saving and restoring an unfinished training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals
from clean_corpus.flows.cli.options import TrainingConfigFile, TrainingOut
from clean_corpus.flows.cli.settings import read_yaml

if TYPE_CHECKING:
    from clean_corpus.enhancers.training.config import TrainConfig
    from clean_corpus.enhancers.training.recipes import Recipe
    from clean_corpus.pipeline.core.locations import Location
    from clean_corpus.vocoder.training.config import VocoderConfig

Speech = Annotated[
    list[str], typer.Option(help="folder of clean speech or of .tar shards, or a glob, or s3://; repeat for more")
]
Noise = Annotated[
    list[str], typer.Option(help="folder of noise, one subfolder a class, or shards as above; repeat for more")
]
Rooms = Annotated[str | None, typer.Option(help="simulated, or a folder of recorded rooms, or s3://")]
RecipeName = Annotated[str | None, typer.Option(help="a paper's settings; default: the row's own, if there is")]


@contextmanager
def training_process() -> Iterator[None]:
    """Prepare this process for a flow that trains."""
    from clean_corpus.flows import local_server

    local_server.configure()
    with ended_by_signals("interrupted; the same command continues from the last checkpoint"):
        console.print("starting")
        yield


def train_enhancer(
    name: Annotated[str, typer.Argument(help="row of the table of systems; `clean-corpus models` lists them")],
    speech: Speech,
    noise: Noise,
    out: TrainingOut,
    rirs: Rooms = None,
    recipe: RecipeName = None,
    config: Annotated[
        str | None, typer.Option("--config", help="YAML of settings, laid over the recipe's; s3:// too")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="stop after so many minutes; epochs become shorter")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", help="one setting, for example mix.seconds=4")] = [],  # noqa: B006
) -> None:
    """Train an enhancement network on noisy/clean pairs mixed on the fly (extra `train`). Run it again to continue."""
    from clean_corpus.flows import local_server

    def prepare() -> tuple["Location", "TrainConfig", str | None]:
        from clean_corpus.enhancers.table import method

        method(name)
        import clean_corpus.flows.train_enhancer  # noqa: F401
        from clean_corpus.enhancers.training import recipes
        from clean_corpus.pipeline.core.locations import parse_location
        from clean_corpus.pipeline.training.shard_stream import find_shards

        chosen_name = recipe or recipes.default_recipe(name)
        chosen = recipes.load_recipe(chosen_name) if chosen_name else None
        configuration = _enhancer_settings(chosen, config, budget, rirs, settings)
        for option, locations in (("--speech", speech), ("--noise", noise)):
            find_shards(locations, option)
        if chosen:
            _print_recipe(chosen_name, chosen)
        return parse_location(out), configuration, chosen_name

    with training_process(), local_server.server(prepare) as (folder, configuration, chosen):
        from clean_corpus.flows import train_enhancer as flow

        path = flow.train_enhancer(name, speech, noise, folder, configuration, chosen)
    print(f"weights: {path}")


def _enhancer_settings(
    recipe: "Recipe | None", config: str | None, budget: float | None, rirs: str | None, settings: list[str]
) -> "TrainConfig":
    """Return the recipe's settings with the file's, the options' and the single settings laid over them in turn.

    The shorter epochs of a budget lie below the file, which may ask for others; the budget itself is an option.
    """
    from clean_corpus.enhancers.training import recipes
    from clean_corpus.pipeline.core.config_input import override

    layers = [recipes.shortened(recipe, budget)] if budget else []
    layers += [read_yaml(config), {"mix": {"rirs": rirs}} if rirs else {}, {"budget_min": budget} if budget else {}]
    return recipes.settings(recipe, *layers, override({}, settings))


def _print_recipe(name: str | None, recipe: "Recipe") -> None:
    corpora = "; ".join(f"{role}: {corpus}" for role, corpus in recipe.corpora if corpus)
    source = "of this project" if recipe.paper == "own" else f"paper [{recipe.paper}]"
    console.print(f"recipe {name}, {source}, which had {corpora}", markup=False, highlight=False)


def save_training(
    run: Annotated[str, typer.Argument(help="local folder in which train-enhancer trains")],
    state: Annotated[str, typer.Argument(metavar="STATE.safetensors", help="file to write, with a .json beside it")],
) -> None:
    """Save what continues a training, as of its last validation and without pickles; the training may be running."""
    from clean_corpus.enhancers.training import saved_state

    steps = saved_state.save_training(Path(run), Path(state))
    print(f"step {steps}: {state}")


def restore_training(
    state: Annotated[str, typer.Argument(metavar="STATE.safetensors", help="what save-training wrote")],
    run: Annotated[str, typer.Argument(help="new local folder; train-enhancer --out of it continues the training")],
) -> None:
    """Restore a saved training in a new folder, in which train-enhancer continues it."""
    from clean_corpus.enhancers.training import saved_state

    steps = saved_state.restore_training(Path(state), Path(run))
    print(f"step {steps}: {run}; continue with train-enhancer --out {run} and the same settings")


def train_vocoder(
    shards: Annotated[
        list[str], typer.Argument(metavar="SHARDS...", help="OUTPUT/shards of a run, .tar files, a glob or s3://")
    ],
    out: TrainingOut,
    config: TrainingConfigFile = None,
    budget: Annotated[float | None, typer.Option(min=0.01, help="stop after so many minutes")] = None,
    force: Annotated[bool, typer.Option("--force", help="train on less than ten minutes too")] = False,
    settings: Annotated[list[str], typer.Option("--set", help="one setting, for example sizes.layers=20")] = [],  # noqa: B006
) -> None:
    """Train a WaveNet on kept clips (extra `vocoder`). Run it again to continue."""
    from clean_corpus.flows import local_server

    def prepare() -> tuple["Location", "VocoderConfig"]:
        import clean_corpus.flows.train_vocoder  # noqa: F401
        from clean_corpus.pipeline.core.config_input import override, validate
        from clean_corpus.pipeline.core.locations import parse_location
        from clean_corpus.vocoder.training.config import VocoderConfig

        layer = {"budget_min": budget} if budget else {}
        configuration = validate(VocoderConfig, override(read_yaml(config) | layer, settings))
        return parse_location(out), configuration

    with training_process(), local_server.server(prepare) as (folder, configuration):
        from clean_corpus.flows import train_vocoder as flow

        path = flow.train_vocoder(shards, folder, configuration, force)
    print(f"weights: {path}")
