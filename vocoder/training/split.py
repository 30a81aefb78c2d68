"""The split of a corpus into training and validation, by a hash of each clip's key or speaker."""

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import islice

from clean_corpus.pipeline.training.shard_stream import Encoded, Shard, clips
from clean_corpus.vocoder.training.config import SplitBy


def speaker_of(clip: Encoded) -> str:
    """Return the speaker that the clip's .json names, "" if it names none."""
    return str(json.loads(clip.about or b"{}").get("speaker") or "")


def is_held_out(clip: Encoded, share: float, disjoint: SplitBy, seed: int) -> bool:
    """Decide by a clip's key or speaker alone whether it belongs to validation, so that all processes agree."""
    name = clip.key if disjoint == "utterance" else speaker_of(clip)
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") < share * 2**48


def first_held_out(shards: Sequence[Shard], held_out: Callable[[Encoded], bool], count: int) -> list[Encoded]:
    """Return the first held-out clips, in the order of the shards."""
    return list(islice((clip for shard in shards for clip in clips(shard) if held_out(clip)), count))
