"""Settings from YAML files and command lines, checked against a model; every error names the wrong key."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from clean_corpus.pipeline.core.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, and no key may stand twice.

    off, no, on and yes stay words, as in YAML 1.2: fields that are booleans take them, and numbers refuse them.
    """

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen - {"<<"}:
                raise yaml.MarkedYAMLError(None, None, f"key {key.value!r} stands here again", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse_yaml(text: str) -> Any:
    """Return the value that YAML text means.

    Raises: yaml.YAMLError if it is not YAML.

    >>> parse_yaml("{level: off, near: true}")
    {'level': 'off', 'near': True}
    """
    return yaml.load(text, _Loader)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, empty for an empty file.

    Raises: ConfigError if the file is missing, is not YAML or is not a mapping.
    """
    try:
        data = parse_yaml(path.read_text("utf-8-sig"))
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
            target[key] = parse_yaml(value)
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
