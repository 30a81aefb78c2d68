"""The key of a listening test: the system behind each clip, and the answers that traps and checks expect."""

import json
from pathlib import Path
from typing import NamedTuple

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.listening.study import KEY_FORMAT

_FIELDS = ("format", "study", "mode", "systems", "utterances", "reference", "clips", "trials", "traps", "headphones")


class Key(NamedTuple):
    """Content of a key: clip -> (system, utterance), trial -> clips, trap -> (clips, answer), check -> answer."""

    study: str
    mode: str
    systems: list[str]
    utterances: list[str]
    reference: str | None
    clips: dict[str, tuple[str, str]]
    trials: dict[str, list[str]]
    traps: dict[str, tuple[list[str], int]]
    headphones: dict[str, int]


def load_key(path: Path) -> Key:
    """Read the key that was written beside a test.

    Raises: ConfigError if the file is missing or is no key of this format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--key {path}: {error.strerror}; it lies beside the test's folder, NAME.key.json") from None
    except ValueError:
        raise ConfigError(f"--key {path} is not JSON; it lies beside the test's folder, NAME.key.json") from None
    missing = [name for name in _FIELDS if name not in data] if isinstance(data, dict) else _FIELDS
    if missing:
        raise ConfigError(f"--key {path} lacks {', '.join(missing)}; is it the key of a listening test?")
    if data["format"] != KEY_FORMAT:
        raise ConfigError(
            f"--key {path} has format {data['format']}, this version reads {KEY_FORMAT}; use the one it is from"
        )
    return Key(
        *(data[name] for name in ("study", "mode", "systems", "utterances", "reference")),
        clips={name: (clip["system"], clip["utterance"]) for name, clip in data["clips"].items()},
        trials=data["trials"],
        traps={name: (trap["clips"], trap["answer"]) for name, trap in data["traps"].items()},
        headphones=data["headphones"],
    )
