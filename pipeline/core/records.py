"""Results of the stages of a shard, as the flow passes them on: paths and rows, never audio."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from clean_corpus.pipeline.core.types import Clip, Decision, Scores

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The result of a stage with its name, the seconds it took, and whether it was reused instead of made."""

    name: str
    result: Result
    seconds: float
    reused: bool


@dataclass(frozen=True)
class StageResult:
    """The result of one stage for one group or shard: its clips, and what the stage gave or why it gave nothing."""

    stage: str
    name: str
    clips: list[Clip]
    outcome: Outcome[Any] | Exception


@dataclass(frozen=True)
class Shard:
    """A tar that was written whole: its key, and the hash and sizes by which a reader checks it."""

    key: str
    sha256: str
    size: int
    samples: int


@dataclass(frozen=True)
class RawShard:
    """A shard of decoded clips, `KEY.flac` at 24 bit; fingerprints in the order of clips, base64 of uint32."""

    shard: Shard
    clips: list[Clip]
    fingerprints: list[str]

    @property
    def wanted(self) -> list[Clip]:
        """The clips to enhance and judge: those that are not rejected yet."""
        return [clip for clip in self.clips if not clip.reject]


@dataclass(frozen=True)
class Part:
    """A tar whose clips lie in another one too, which was joined of several."""

    shard: Shard
    clip_ids: list[str]


@dataclass(frozen=True)
class Parts:
    """The tars of which one was joined, in order."""

    parts: list[Part]


@dataclass(frozen=True)
class Ingested:
    """A decoded group of recordings: its shards, and the clips that have no audio to go on with."""

    shards: list[RawShard]
    rest: list[Clip]


@dataclass(frozen=True)
class Enhanced:
    """The enhanced version of a raw shard, None if nothing was enhanced; `failed` maps clip to exception text.

    `residual_snr_db` maps clip to the level of its speech over what enhancing removed, where it removed most.
    """

    shard: Shard | None
    failed: dict[str, str]
    residual_snr_db: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """The scores of a shard's clips; `failed` maps clip to exception text."""

    scores: dict[str, Scores]
    failed: dict[str, str]


@dataclass(frozen=True)
class Transcribed:
    """What a recogniser heard in a shard's clips; None where it does not know the language.

    `failed` maps clip to exception text.
    """

    texts: dict[str, str | None]
    failed: dict[str, str]


@dataclass(frozen=True)
class Voices:
    """The voices of clips in one version, as texts of quality.voice, and how constant they are; of those that speak."""

    embeddings: dict[str, str]
    constancy: dict[str, float]


@dataclass(frozen=True)
class Embedded:
    """The voices of a shard's clips in both versions."""

    raw: Voices
    enhanced: Voices


@dataclass(frozen=True)
class Published:
    """The tars that a user gets of one raw shard, and the gain that each kept clip was given."""

    kept: Shard | None
    rejected: Shard | None
    gain_db: dict[str, float]


@dataclass(frozen=True)
class Ending:
    """A clip with its verdict and the scores of its versions, raw and enhanced, which go into the tar with it."""

    clip: Clip
    decision: Decision
    before: Scores
    after: Scores
    speaker_auto: str | None = None


def named_shards(result: object) -> Iterator[Shard]:
    """Yield the shards that a stage's result refers to."""
    match result:
        case Parts():
            yield from (part.shard for part in result.parts)
        case Ingested():
            yield from (raw.shard for raw in result.shards)
        case Enhanced():
            yield from filter(None, [result.shard])
        case Published():
            yield from filter(None, [result.kept, result.rejected])
