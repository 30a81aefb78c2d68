"""Settings from YAML files and command lines, checked against a model; every error names the wrong key."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from clean_corpus.pipeline.core.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, empty for an empty file.

    Raises: ConfigError if the file is missing, is not YAML or is not a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"config {path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"config {path}: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"config {path}: expected a mapping of sections, got {type(data).__name__}")
    return data


def override(data: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Return a copy of `data` with `section.key=value` assignments put in; values are YAML.

    Raises: ConfigError if an assignment has no '=' or goes through something that is not a section.

    >>> override({"gate": {"snr_db_min": 1}}, ["gate.snr_db_min=20", "audio.channel=0"])
    {'gate': {'snr_db_min': 20}, 'audio': {'channel': 0}}
    """
    result = {k: dict(v) if isinstance(v, dict) else v for k, v in data.items()}
    for text in assignments:
        name, equals, value = text.partition("=")
        *sections, key = name.strip().split(".")
        if not equals or not key:
            raise ConfigError(f"--set {text!r}: expected section.key=value, for example gate.dnsmos_ovrl_min=2.8")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {text!r}: {section!r} is a value, not a section")
        try:
            target[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text!r}: {error}") from None
    return result


def validate(model: type[Model], data: dict[str, Any]) -> Model:
    """Return an instance of `model` made of plain data.

    Raises: ConfigError that names each wrong key with its value, what was expected, and the nearest known key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                known = _known_keys(model, item["loc"][:-1])
                problems.append(f"unknown key {where!r}{nearest(str(item['loc'][-1]), known)}")
            else:
                problems.append(f"{where}: {item['msg']}, got {item['input']!r}")
        raise ConfigError("; ".join(problems)) from None


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)
