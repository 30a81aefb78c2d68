"""Recipes: how each paper trained its systems, as settings of the training for a reader's own copy of the data.

A recipe is a YAML file in this folder; its comments mark own choices, made where the paper says nothing.
"""

import math
from pathlib import Path
from typing import Any

from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.config_input import load_yaml, validate
from clean_corpus.pipeline.core.errors import ConfigError, nearest

FOLDER = Path(__file__).parent


class Corpora(Section):
    """Data that the paper trained and tested on, as information for the reader; nothing is downloaded."""

    speech: str
    noise: str
    test: str
    rooms: str | None = None


class Recipe(Section):
    """Settings with which a paper trained a family of systems, the default of its `rows`."""

    paper: str
    rows: tuple[str, ...]  # empty: only when asked for by name
    corpora: Corpora
    train: dict[str, Any]  # of TrainConfig, checked once all settings are together


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Load the recipe of that name.

    Raises: ConfigError that names the nearest one.
    """
    if name not in names():
        raise ConfigError(f"recipe {name!r} is not one of {', '.join(names())}{nearest(name, names())}")
    return validate(Recipe, load_yaml(FOLDER / f"{name}.yaml"))


def default_recipe(row: str) -> str | None:
    """Return the name of the recipe by which a row of the table is trained unless another is asked for."""
    return next((name for name in names() if row in load_recipe(name).rows), None)


def over(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `data` in place of its own, section by section.

    >>> over({"steps": 1, "mix": {"rooms": 2, "seconds": 3.0}}, {"mix": {"rooms": 0}})
    {'steps': 1, 'mix': {'rooms': 0, 'seconds': 3.0}}
    """
    merged = dict(base)
    for key, value in data.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = over(merged[key], value) if both else value
    return merged


SHORT_EPOCH, SHORT_VALIDATION = 250, 96  # steps, pairs


def shortened(recipe: Recipe | None, minutes: float) -> dict[str, Any]:
    """Return settings that stop after these minutes and validate often enough: as many steps in shorter epochs."""
    config = settings(recipe)
    layer = {"budget_min": minutes, "validation_pairs": min(SHORT_VALIDATION, config.validation_pairs)}
    if config.steps_per_epoch > SHORT_EPOCH:
        ratio = config.steps_per_epoch / SHORT_EPOCH
        layer |= {"steps_per_epoch": SHORT_EPOCH, "patience": math.ceil(config.patience * ratio)}
        for key in ("epochs", "stop_after_rises"):
            value = getattr(config, key)
            layer[key] = math.ceil(value * ratio) if value else None
    return layer


def settings(recipe: Recipe | None, *layers: dict[str, Any]) -> TrainConfig:
    """Return the settings of a recipe, or the defaults, with each layer overriding those before it.

    The last layer that sets the length of the training, in steps or in epochs, decides it.

    Raises: ConfigError that names each wrong key, or a layer that asks for both lengths.
    """
    merged = recipe.train if recipe else {}
    for layer in layers:
        merged = over(merged, layer)
        steps, epochs = layer.get("steps"), layer.get("epochs")
        if steps is not None and epochs is not None:
            asked = f"steps={steps} and epochs={epochs}"
            raise ConfigError(f"{asked} are both given, and only one can be the length of the training; leave one out")
        if steps is not None:
            merged["epochs"] = None
        if epochs is not None:
            merged.pop("steps", None)
    return validate(TrainConfig, merged)
