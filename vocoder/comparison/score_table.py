"""Scores that were measured before, found again by the content of the audio files that were measured."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from clean_corpus.pipeline.core.files import write_whole
from clean_corpus.pipeline.core.hashing import content_name, sha256_file
from clean_corpus.pipeline.core.types import Scores
from clean_corpus.pipeline.quality import scorer, voice
from clean_corpus.vocoder.comparison import measures, squim

Measured = tuple[Path, Path | None, str | None]
"""A file that is scored, its reference, and the text that is spoken in it."""


def names(jobs: Sequence[Measured], recogniser: str | None) -> list[str]:
    """Return a name for the scores of each file: of its bytes and those of its reference, and of what measures them.

    The text counts where a recogniser, by its identity, is among that.

    Raises: OSError if a file cannot be read.
    """
    rulers = [
        measures.VERSION,
        scorer.rulers("speechmos", naturalness=measures.hears_naturalness()),
        f"librosa {version('librosa')}",
        squim.weights().exists(),
        voice.ruler() if measures.hears_voices() else None,
        recogniser,
    ]
    digests = {path: sha256_file(path) for path in {path for job in jobs for path in job[:2] if path}}
    return [
        content_name("compared", [path and digests[path] for path in files], recogniser and text, rulers)
        for *files, text in jobs
    ]


def read(path: Path) -> dict[str, Scores]:
    """Return the scores that a table holds by name; none where there is no table."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, scores: dict[str, Scores]) -> None:
    """Write a table whole, over an older one."""
    write_whole(path, json.dumps(scores, indent=1, sort_keys=True).encode() + b"\n")
