"""The claim of one training on its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_json

MOVED = "moved"  # in run.json: the training began elsewhere; settings that are missing there may have any value


def claim(out: Path, about: Mapping[str, Any], config: BaseModel, free: Any = None) -> None:
    """Claim a folder for one training: what it is about and its settings are written to its run.json.

    Settings `free`, as pydantic excludes them, may change. One that run.json of an older program lacks had its default.
    Raises: ConfigError if a training with other settings began there.
    """
    path = out / "run.json"
    asked = {**about, **config.model_dump(mode="json", exclude=free)}
    if path.exists():
        begun = json.loads(path.read_text())
        missing = asked if begun.pop(MOVED, False) else type(config)().model_dump(mode="json", exclude=free)
        begun = _fill_missing(begun, missing)
        differing = [k for k in sorted(begun.keys() | asked.keys()) if begun.get(k) != asked.get(k)]
        if differing:
            first = "; ".join(f"{k}: {begun.get(k)!r} there, {asked.get(k)!r} now" for k in differing[:3])
            raise ConfigError(f"{out} holds another training ({first}); choose another --out, or the settings it has")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, asked)


def _fill_missing(begun: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return `begun` with the keys that only `other` has, section by section."""
    sections = {
        k: _fill_missing(v, other[k])
        for k, v in begun.items()
        if isinstance(v, dict) and isinstance(other.get(k), dict)
    }
    return other | begun | sections
