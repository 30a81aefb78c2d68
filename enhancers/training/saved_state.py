"""Save an unfinished training as tensors and plain values, without pickles, and restore it in another folder."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.files import write_json, write_whole
from clean_corpus.pipeline.training.claims import MOVED
from clean_corpus.pipeline.training.trained_files import read_card, read_tensors

FOLDER = "<folder>"  # placeholder for the folder of a stage's checkpoints in the paths that callbacks store
SUFFIX = ".safetensors"  # of a state's file; another one could be that of the .json beside it
VALUES = {"steps": int, "stage": str, "settings": dict, "values": dict}  # of the .json beside a state
LOCAL_SETTINGS = {"speech", "noise", "references", "rirs"}  # paths, which mean something on one machine only


def save_training(run: Path, path: Path) -> int:
    """Write the state of the training in the folder `run` to `path`, a .safetensors file, with a .json beside it.

    The state is that of the last validation: weights, their running mean, the optimiser's moments, schedule and
    counts. A training continued from it takes the same next step. The result is the number of steps so far.

    Raises: DataError if `run` holds no training; ConfigError if that has several stages or keeps the best weights,
    which a single state does not hold, or if `path` has another suffix.
    """
    _require_suffix(path)
    if not (run / "run.json").exists():
        raise DataError(f"{run}: no training lies there; give the --out of train-enhancer")
    settings = json.loads((run / "run.json").read_text())
    folders = sorted((run / "checkpoints").glob("*/last.ckpt"))
    if settings["keep"] != "last" or len(folders) != 1:
        raise ConfigError(
            f"{run} keeps the {settings['keep']} weights of {len(folders)} stages; only a training of one stage that "
            "keeps the last ones, and has been validated once, can be saved before it ends"
        )
    checkpoint = torch.load(folders[0], map_location="cpu", weights_only=True)
    tensors: dict[str, Tensor] = {}
    values = _pack(checkpoint, "", tensors, str(folders[0].parent))
    about = {
        "steps": checkpoint["global_step"],
        "stage": folders[0].parent.name,
        "settings": {k: _without_paths(v) for k, v in settings.items() if not _is_local(k, v)},
        "values": values,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(tensors))
    write_whole(path.with_suffix(".json"), json.dumps(about, separators=(",", ":")).encode() + b"\n")
    return checkpoint["global_step"]


def restore_training(path: Path, run: Path) -> int:
    """Restore what `save_training` wrote in the folder `run`, where a training with the same settings continues it.

    The paths of recordings may be others. The result is the number of steps so far.

    Raises: DataError if there is no such state; ConfigError if it is damaged or none, or if `run` holds a training.
    """
    _require_suffix(path)
    if not path.exists() or not path.with_suffix(".json").exists():
        raise DataError(f"{path}: no such state of a training, or no .json beside it")
    if (run / "run.json").exists():
        raise ConfigError(f"{run} holds a training; choose another folder")
    about = read_card(path.with_suffix(".json"), VALUES, "a saved training")
    tensors = read_tensors(path)
    folder = (run / "checkpoints" / about["stage"]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(_unpack(about["values"], tensors, str(folder)), folder / "last.ckpt")
    write_json(run / "run.json", about["settings"] | {MOVED: True})
    return about["steps"]


def _require_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise ConfigError(f"{path}: the state of a training is NAME{SUFFIX}, with NAME.json beside it; name it so")


def _is_local(name: str, value: Any) -> bool:
    """Return whether a setting means something on one machine only; shipped weights to start from have a name."""
    return name in LOCAL_SETTINGS or (name == "start_from" and Path(value or "").suffix != "")


def _without_paths(value: Any) -> Any:
    """Return a section of settings without those that are paths; any other value unchanged."""
    return {k: v for k, v in value.items() if not _is_local(k, v)} if isinstance(value, dict) else value


def _pack(value: Any, name: str, tensors: dict[str, Tensor], folder: str) -> Any:
    """Return a value in terms that JSON has, and add its tensors to `tensors` by name.

    Raises: DataError if it is neither a tensor nor plain.
    """
    if isinstance(value, Tensor):
        tensors[name] = value.detach().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        keys = [_pack(k, "", tensors, folder) for k in value]
        parts = [_pack(v, f"{name}/{k}", tensors, folder) for k, v in zip(keys, value.values(), strict=True)]
        return {"items": list(zip(keys, parts, strict=True))}
    if isinstance(value, list | tuple):
        parts = [_pack(v, f"{name}/{i}", tensors, folder) for i, v in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if isinstance(value, str):
        return value.replace(folder, FOLDER)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise DataError(f"state of a training: {name} is a {type(value).__name__}, neither a tensor nor a plain value")


def _unpack(value: Any, tensors: dict[str, Tensor], folder: str) -> Any:
    """Return the value that `_pack` was given."""
    if isinstance(value, dict):
        ((kind, inside),) = value.items()
        if kind == "tensor":
            return tensors[inside]
        if kind == "tuple":
            return tuple(_unpack(v, tensors, folder) for v in inside)
        return {_unpack(k, tensors, folder): _unpack(v, tensors, folder) for k, v in inside}
    if isinstance(value, list):
        return [_unpack(v, tensors, folder) for v in value]
    return value.replace(FOLDER, folder) if isinstance(value, str) else value
