"""Which files of a folder are sound by their names, and which ones only accompany a recording there."""

from collections.abc import Collection, Sequence
from pathlib import Path

SUFFIXES = frozenset((
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
    ".w64", ".rf64", ".m4a", ".mp4", ".aac", ".3gp", ".webm", ".mka", ".mkv", ".wma", ".amr",
))  # fmt: skip
"""Suffixes of sound files."""


def without_companions(paths: Sequence[Path], kept: Collection[str] = ()) -> list[Path]:
    """Return files without those that lie beside a sound file and go by its name, as texts and alignments do.

    Files with a suffix in `kept` stay; so does every file that no sound file is named like.

    >>> [str(path) for path in without_companions([Path("a.wav"), Path("a.lab"), Path("a.norm.txt"), Path("b.txt")])]
    ['a.wav', 'b.txt']
    """
    stems = {path.with_suffix("") for path in paths if path.suffix.lower() in SUFFIXES}
    own = SUFFIXES | set(kept)
    return [path for path in paths if path.suffix.lower() in own or not any(s in stems for s in _stems(path))]


def _stems(path: Path) -> list[Path]:
    """Return the names of which a file's name is one with suffixes behind it."""
    parts = path.name.split(".")
    return [path.with_name(".".join(parts[:count])) for count in range(1, len(parts)) if parts[0]]
