"""The split of a corpus into training and validation, by a hash of each clip's key or speaker."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import islice

from clean_corpus.pipeline.training.shard_stream import Encoded, Shard, clips
from clean_corpus.vocoder.training.config import SplitBy


def is_held_out(clip: Encoded, share: float, disjoint: SplitBy, seed: int) -> bool:
    """Decide by a clip's key or speaker alone whether it belongs to validation, so that all processes agree."""
    name = clip.key if disjoint == "utterance" else clip.speaker
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") < share * 2**48


def first_held_out(shards: Sequence[Shard], held_out: Callable[[Encoded], bool], count: int) -> list[Encoded]:
    """Return the first held-out clips, in the order of the shards."""
    return list(islice((clip for shard in shards for clip in clips(shard) if held_out(clip)), count))
