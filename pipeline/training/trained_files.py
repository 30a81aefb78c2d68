"""The two files of trained weights: tensors as .safetensors, and the card beside them; what is neither is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clean_corpus.pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

_JSON_NAMES = {int: "a number", dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def read_card(path: Path, wanted: Mapping[str, type], kind: str) -> dict[str, Any]:
    """Read the card of some weights, which is to have certain values; `kind` says in an error of what it is to be.

    Raises: ConfigError if it is missing, is no JSON, or has not these values, as the card of other weights.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: the card of these weights is missing; it is written beside them by training"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: this card is damaged: {error}; copy weights and card once more") from None
    if not isinstance(card, dict):
        raise ConfigError(f"{path}: no card of {kind}, but a {type(card).__name__}; give weights with their own card")
    for name, of in wanted.items():
        if not isinstance(card.get(name), of):
            there = f"is {json.dumps(card[name])[:80]}" if name in card else "is missing"
            raise ConfigError(
                f"{path}: no card of {kind}: {name} {there}, expected {_JSON_NAMES[of]}; give weights of {kind}, with "
                "their own card"
            )
    return card


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read the tensors of a .safetensors file.

    Raises: ConfigError if it is none, or not whole.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # loads torch, which reading a card does without

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConfigError(
            f"{path}: {path.stat().st_size} bytes that are no whole .safetensors file: {error}; copy it once more"
        ) from None
