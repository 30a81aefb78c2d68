"""Shards of a voice for the scripts that train a vocoder, at the level and in the format that a run publishes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import encode, loudness
from clean_corpus.pipeline.core.config import AudioConfig
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore

RATE, PER_SHARD = 16000, 64


def levelled(x: np.ndarray) -> np.ndarray:
    """Bring samples at RATE, (N,), to the loudness of published clips."""
    audio = AudioConfig()
    return loudness.level(x, RATE, loudness_lufs=audio.loudness_lufs, true_peak_db=audio.true_peak_db)[0]


def write_shards(
    root: Path, folder: str, keys: Sequence[str], clips: Iterator[np.ndarray], about: Sequence[dict]
) -> None:
    """Write ROOT/FOLDER/*.tar with one levelled clip for each key; clips are read while their shard is written.

    `about` is what each clip's .json says.
    """
    store = LocalStore(root)
    for first in range(0, len(keys), PER_SHARD):
        samples = (
            {
                "__key__": key,
                "flac": encode.encode_flac(levelled(next(clips)), RATE, bits=16),
                "json": canonical_json(said),
            }
            for key, said in list(zip(keys, about, strict=True))[first : first + PER_SHARD]
        )
        write_shard(store, f"{folder}/{first // PER_SHARD:06}.tar", samples)
