"""The recordings of a listening test: systems as folders, and the utterances that all of them have."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio.sound_files import without_companions
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.discover.recordings import printable

NATURAL = "natural"  # name of the recordings themselves beside vocoders

Recordings = Mapping[str, Mapping[str, Path]]
"""System -> utterance -> file."""


def find_systems(root: Path) -> dict[str, dict[str, Path]]:
    """Return system -> utterance -> recording of every folder directly below `root`, hidden ones excepted.

    Texts and the like that go by the name of a recording beside them are passed over.

    Of a comparison (--out of `compare`), return what the first training of each set says from the common frames, and
    as `natural` the recordings of the set that these are from; of a set with that name they are `natural-recordings`.
    Raises: ConfigError if there are fewer than two systems, an empty one, or two files for one utterance.
    """
    if not root.is_dir():
        raise ConfigError(f"DIR {root}: no such folder")
    folders = _of_comparison(root) or {
        printable(path.name): path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")
    }
    if len(folders) < 2:
        raise ConfigError(f"DIR {root}: {len(folders)} folders, at least 2 needed, one for each system")
    return {name: _utterances(name, folder) for name, folder in folders.items()}


def _utterances(system: str, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    for path in without_companions(files):
        if (other := found.setdefault(printable(path.stem), path)) != path:
            raise ConfigError(f"{path} and {other} are one utterance of one system; remove one")
    if not found:
        raise ConfigError(f"system {system!r}: no recordings in {folder}; add them or remove the folder")
    return found


def _of_comparison(root: Path) -> dict[str, Path]:
    """Return the folder of each system of a comparison, without sets that hold another's audio, or nothing."""
    if not (root / "result.json").is_file() or not (root / "speech").is_dir():
        return {}
    result = json.loads((root / "result.json").read_text())
    speech = root / "speech"
    sets = [name for name in result["hours"] if name not in result["twins"]]
    natural = NATURAL if NATURAL not in sets else f"{NATURAL}-recordings"
    return {name: speech / name / "common" / "seed0" for name in sets} | {
        natural: speech / result["frames_from"] / "audio"
    }


def common_utterances(systems: Recordings) -> list[str]:
    """Return the utterances that every system has, sorted.

    Raises: ConfigError that names the systems that share nothing, if there are none.

    >>> common_utterances({"a": {"u1": Path(), "u2": Path()}, "b": {"u2": Path()}})
    ['u2']
    """
    common = sorted(set.intersection(*(set(clips) for clips in systems.values())))
    if common:
        return common
    apart = [f"{a!r} and {b!r}" for a, b in combinations(systems, 2) if not set(systems[a]) & set(systems[b])]
    first = "; ".join(f"{system!r} has {next(iter(clips))!r}" for system, clips in systems.items())
    reason = f"{', '.join(apart)} have none in common" if apart else "every two systems share some"
    raise ConfigError(
        f"no utterance is in all {len(systems)} systems: {reason} ({first}, ...); use the same file names"
    )


def draw_utterances(utterances: Sequence[str], count: int | None, seed: int) -> list[str]:
    """Draw so many utterances, all of them for None; return them sorted.

    Raises: ConfigError if there are fewer.
    """
    if count is None:
        return [*utterances]
    if count > len(utterances):
        raise ConfigError(f"--per-system {count}: only {len(utterances)} utterances are in all systems; ask for fewer")
    return sorted(np.random.default_rng(seed).permutation(np.array(utterances, dtype=object))[:count])
