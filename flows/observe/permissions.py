"""Settings that a machine gives its runs, and that nobody who may start a run on it can choose instead.

A deployed run has its parameters from whoever may start one. A command would run, and a file be written, with the
worker's rights; a server named as the bucket's would get requests signed with the worker's keys, and answer them; a
cluster named as Ray's would get its token, and answer with pickled objects. So these come from a YAML file of the
worker's machine, unless its environment permits them by name.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.core.config_input import load_yaml
from clean_corpus.pipeline.core.errors import ConfigError

MACHINE_FILE = "CLEAN_CORPUS_MACHINE"  # environment variable: YAML with some of SECTIONS
PERMITTED = "CLEAN_CORPUS_PERMIT"  # environment variable: names of GUARDED that parameters may set, with commas
GUARDED = (
    "hooks.on_finish.command",
    "hooks.on_failure.command",
    "observe.log_file",
    "observe.metrics_file",
    "s3.endpoint_url",
    "engine.address",
)
HARMLESS = {"engine.address": "auto"}  # values that anybody may choose: the machine's own cluster
SECTIONS = ("hooks", "observe", "s3", "engine")  # of the machine's file


def require_permitted(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that only the machine may set.

    Raises: ConfigError that names them and both remedies.
    """
    if names := [name for name in _not_permitted() if _is_chosen(parameters, name)]:
        raise ConfigError(
            f"{', '.join(names)}: not to be set by whoever starts a run; write it to the file on the worker's machine "
            f"that {MACHINE_FILE} names there, or permit it there by {PERMITTED}={','.join(names)}"
        )


def with_machine_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters over the machine's own settings, without those that only the machine may set.

    Raises: ConfigError if the machine's file cannot be read.
    """
    machine, merged = machine_settings(), dict(parameters)
    for section in SECTIONS:
        if section in machine or section in parameters:
            merged[section] = machine.get(section, {}) | dict(parameters.get(section) or {})
    for name in _not_permitted():
        section, key, *_ = name.split(".")
        if _is_chosen(parameters, name):  # a hook goes whole
            del merged[section][key]
            merged[section] |= {k: v for k, v in machine.get(section, {}).items() if k == key}
    return merged


def machine_settings() -> dict[str, dict[str, Any]]:
    """Return the sections of the machine's file as they stand there, none without a file.

    Raises: ConfigError if it cannot be read, or has other sections.
    """
    name = os.environ.get(MACHINE_FILE)
    found = load_yaml(Path(name)) if name else {}
    for section, settings in found.items():
        if section not in SECTIONS or not isinstance(settings, dict):
            raise ConfigError(f"{MACHINE_FILE}={name}: {section!r}: expected the sections {', '.join(SECTIONS)}")
    return found


def _not_permitted() -> list[str]:
    permitted = {name.strip() for name in os.environ.get(PERMITTED, "").split(",")}
    return [name for name in GUARDED if name not in permitted]


def _is_chosen(parameters: Mapping[str, Any], name: str) -> bool:
    """Return whether parameters set a guarded field to a value that is not anybody's to choose."""
    return _get(parameters, name) not in (None, HARMLESS.get(name))


def _get(parameters: Any, name: str) -> Any:
    """Return the value of a nested mapping at a dotted name, None if it has none."""
    for part in name.split("."):
        parameters = parameters.get(part) if isinstance(parameters, Mapping) else None
    return parameters
