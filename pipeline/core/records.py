"""What the stages leave behind and the flow passes on: paths and rows, never audio; importing this loads no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from clean_corpus.pipeline.core.types import Clip, Decision, Scores

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What a stage returns to the flow: its result, its name, and whether it was found or made, in how many seconds."""

    name: str
    result: Result
    seconds: float
    reused: bool


@dataclass(frozen=True)
class Shard:
    """A tar that was committed: what a reader needs to know that it is whole."""

    key: str
    sha256: str
    size: int
    samples: int


@dataclass(frozen=True)
class RawShard:
    """Decoded clips in a tar, `KEY.flac` at 24 bit; fingerprints in the order of clips, base64 of uint32."""

    shard: Shard
    clips: list[Clip]
    fingerprints: list[str]

    @property
    def wanted(self) -> list[Clip]:
        """The clips that are worth a network: not rejected yet."""
        return [clip for clip in self.clips if not clip.reject]


@dataclass(frozen=True)
class Ingested:
    """A group of recordings after decoding: shards, and the rows of what has no audio to go on with."""

    shards: list[RawShard]
    rest: list[Clip]


@dataclass(frozen=True)
class Enhanced:
    """The enhanced twin of a raw shard; `failed` holds clip -> exception text. No shard if nothing was enhanced."""

    shard: Shard | None
    failed: dict[str, str]


@dataclass(frozen=True)
class Scored:
    """Scores by clip; `failed` holds clip -> exception text."""

    scores: dict[str, Scores]
    failed: dict[str, str]


@dataclass(frozen=True)
class Published:
    """The tars a user gets of one raw shard, and the gain each kept clip was given."""

    kept: Shard | None
    rejected: Shard | None
    gain_db: dict[str, float]


@dataclass(frozen=True)
class Ending:
    """A clip, how it ends, and the facts that travel with it into the tar."""

    clip: Clip
    decision: Decision
    scores: Scores


def named_shards(result: object) -> Iterator[Shard]:
    """The tars a stage's result rests on."""
    match result:
        case Ingested():
            yield from (raw.shard for raw in result.shards)
        case Enhanced():
            yield from filter(None, [result.shard])
        case Published():
            yield from filter(None, [result.kept, result.rejected])
