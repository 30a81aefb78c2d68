"""A training on its way: all that continues it, as tensors and plain values that may lie in a repository."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import ConfigError, DataError
from pipeline.training import MOVED, write_json

FOLDER = "<folder>"  # stands for the folder of a stage's checkpoints, in the names of files that callbacks remember
PLACES = {"speech", "noise", "references", "rirs"}  # settings that are places on one machine


def save_training(run: Path, path: Path) -> int:
    """Write the state of the training in the folder `run` to `path`, a .safetensors file, and a .json beside it.

    It is that of the last validation: weights, their running mean, moments, schedule and counts. A training that is
    continued from it takes the same next step. Returns the number of steps so far.
    Raises: DataError if no training lies there; ConfigError if it has several stages or keeps the best weights, which
    a single state does not hold.
    """
    if not (run / "run.json").exists():
        raise DataError(f"{run}: no training lies there; give the --out of train-enhancer")
    settings = json.loads((run / "run.json").read_text())
    folders = sorted((run / "checkpoints").glob("*/last.ckpt"))
    if settings["keep"] != "last" or len(folders) != 1:
        raise ConfigError(
            f"{run} keeps the {settings['keep']} weights of {len(folders)} stages; only a training of one stage that "
            "keeps the last ones, and has been validated once, can be saved on its way"
        )
    checkpoint = torch.load(folders[0], map_location="cpu", weights_only=True)
    tensors: dict[str, Tensor] = {}
    values = _packed(checkpoint, "", tensors, str(folders[0].parent))
    about = {
        "steps": checkpoint["global_step"],
        "stage": folders[0].parent.name,
        "settings": {k: _without_places(v) for k, v in settings.items() if k not in PLACES},
        "values": values,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    path.with_suffix(".json").write_text(json.dumps(about, separators=(",", ":")) + "\n")
    return checkpoint["global_step"]


def restore_training(path: Path, run: Path) -> int:
    """Put what `save_training` wrote into the folder `run`, where `train-enhancer` continues it with the same settings.

    The places of recordings are asked for anew. Returns the number of steps that have been made.
    Raises: DataError if there is no such state; ConfigError if a training lies in `run`.
    """
    if not path.exists() or not path.with_suffix(".json").exists():
        raise DataError(f"{path}: no such state of a training, or no .json beside it")
    if (run / "run.json").exists():
        raise ConfigError(f"{run} holds a training; choose another folder")
    about = json.loads(path.with_suffix(".json").read_text())
    folder = (run / "checkpoints" / about["stage"]).absolute()
    folder.mkdir(parents=True)
    torch.save(_unpacked(about["values"], load_file(path), str(folder)), folder / "last.ckpt")
    write_json(run / "run.json", about["settings"] | {MOVED: True})
    return about["steps"]


def _without_places(value: Any) -> Any:
    return {k: v for k, v in value.items() if k not in PLACES} if isinstance(value, dict) else value


def _packed(value: Any, name: str, tensors: dict[str, Tensor], folder: str) -> Any:
    """A value as JSON has it; its tensors go into `tensors` by name.

    Raises: DataError if it is neither a tensor nor plain.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        keys = [_packed(k, "", tensors, folder) for k in value]
        parts = [_packed(v, f"{name}/{k}", tensors, folder) for k, v in zip(keys, value.values(), strict=True)]
        return {"items": list(zip(keys, parts, strict=True))}
    if isinstance(value, list | tuple):
        parts = [_packed(v, f"{name}/{i}", tensors, folder) for i, v in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if isinstance(value, str):
        return value.replace(folder, FOLDER)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise DataError(f"state of a training: {name} is a {type(value).__name__}, neither a tensor nor a plain value")


def _unpacked(value: Any, tensors: dict[str, Tensor], folder: str) -> Any:
    if isinstance(value, dict):
        ((kind, inside),) = value.items()
        if kind == "tensor":
            return tensors[inside]
        if kind == "tuple":
            return tuple(_unpacked(v, tensors, folder) for v in inside)
        return {_unpacked(k, tensors, folder): _unpacked(v, tensors, folder) for k, v in inside}
    if isinstance(value, list):
        return [_unpacked(v, tensors, folder) for v in value]
    return value.replace(FOLDER, folder) if isinstance(value, str) else value
