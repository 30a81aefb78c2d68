"""Folders with manifests: files that stand for recordings, rows of JSON, and what is found of them."""

import json
from pathlib import Path

from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import find_all


def audio(root: Path, *names: str) -> None:
    """Write files that stand for recordings."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"audio")


def jsonl(*rows: dict) -> bytes:
    """Return rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def found_rows(root: Path) -> dict[str, Recording]:
    """Return what is found below a folder, by path."""
    return {recording.path: recording for recording in find_all(root, exclude=None)}


def lhotse_recording(name: str, path: str) -> dict:
    """Return a row of lhotse for a file."""
    return {
        "id": name,
        "sources": [{"type": "file", "channels": [0], "source": path}],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
    }
