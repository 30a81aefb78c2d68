"""The work on one raw shard, stage by stage: calls of workers, and the decisions between them, which are pure.

The same code runs in the flow, where each stage is a call of its own that is made again where it fails, and in a
worker, which takes a shard from its raw clips to its tars in one call.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from clean_corpus.flows import worker_functions
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core.records import (
    Embedded,
    Ending,
    Outcome,
    Published,
    RawShard,
    Shard,
    StageResult,
    Transcribed,
    named_shards,
)
from clean_corpus.pipeline.core.types import Clip, Decision, Scores, Verdict
from clean_corpus.pipeline.corpus import embed
from clean_corpus.pipeline.corpus.heard import heard
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.reviewed import Reviews
from clean_corpus.pipeline.quality.gate import decide, failed, recorded, settled, to_score, upsampled
from clean_corpus.pipeline.quality.speakers import one_speaker

VARIANTS = ("raw", "enhanced")

Call = Callable[..., Any]
"""(stage, function of a worker, its arguments after configuration and raw shard) -> its result, or an exception."""


@dataclass(frozen=True)
class JudgedShard:
    """A raw shard, or a part of one, after enhancement and gate: its enhanced version and a row for each clip.

    `embeddings` holds the voice of the version of each clip that was chosen, where voices are asked for. `problem` is
    why the shard has no result.
    """

    name: str
    raw: RawShard
    stages: list[StageResult]
    rows: list[Row]
    enhanced: Shard | None
    embeddings: dict[str, str]
    problem: Exception | None = None


@dataclass(frozen=True)
class FinishedShard:
    """A judged shard, or a part of one, after publishing: its enhanced version, its tars, and a row for each clip.

    `problem` is why it has no result.
    """

    name: str
    stages: list[StageResult]
    rows: list[Row]
    enhanced: Shard | None
    tars: Published
    variants: list[Shard]
    problem: Exception | None = None


def finish(config: RunConfig, raw: RawShard, name: str, reviews: Reviews) -> FinishedShard:
    """Score, enhance, judge and publish one raw shard in this worker; what people decided goes over the gate.

    Raises: whatever a stage raises.
    """

    def call(stage: str, function: Callable[..., Any], *args: object) -> Any:
        return function(config, raw, *args)

    judged = judge(config, name, raw, call)
    judged = replace(judged, rows=[reviews.overruled(row) for row in judged.rows])
    finished = publish(config, judged, call)
    finished.stages[:0] = judged.stages
    return finished


def judge(config: RunConfig, name: str, raw: RawShard, call: Call) -> JudgedShard:
    """Take a shard through its stages up to the gate, or up to the first that gives nothing."""
    cleaned = call("clean", worker_functions.clean)
    stages = _results_of_cleaning(name, raw, config, cleaned)
    enhanced = None if isinstance(cleaned, Exception) or not cleaned.enhanced else cleaned.enhanced.result.shard
    voices = None
    if config.speakers.embed and not isinstance(cleaned, Exception):
        voices = call("embed", worker_functions.embed, enhanced)
        stages.append(StageResult("embed", name, raw.wanted, voices))
        if isinstance(voices, Exception):
            cleaned = voices
    if isinstance(cleaned, Exception):
        return JudgedShard(name, raw, stages, [_judge(c, cleaned, config) for c in raw.clips], None, {}, cleaned)
    embedded = voices.result if voices else None
    rows = [_judge(clip, cleaned, config, embedded) for clip in raw.clips]
    problem = None
    if config.text.transcriber:
        found = call("transcribe", worker_functions.transcribe, enhanced, [_ending(row) for row in rows])
        kept = [row.clip for row in rows if row.decision.verdict is Verdict.KEPT]
        stages.append(StageResult("transcribe", name, kept, found))
        problem = found if isinstance(found, Exception) else None
        rows = [_after_transcription(row, found, config) for row in rows]
    return JudgedShard(name, raw, stages, rows, enhanced, _embeddings(rows, embedded), problem)


def _embeddings(rows: list[Row], embedded: Embedded | None) -> dict[str, str]:
    """Return the embedding of the version of each clip that was chosen, of those that have one."""
    if embedded is None:
        return {}
    found = {row.clip.clip_id: embed.chosen(embedded, row.decision).embeddings for row in rows}
    return {clip_id: texts[clip_id] for clip_id, texts in found.items() if clip_id in texts}


def publish(config: RunConfig, judged: JudgedShard, call: Call) -> FinishedShard:
    """Write what users get of a judged shard, up to the first stage that gives nothing."""
    name, raw, rows, enhanced = judged.name, judged.raw, judged.rows, judged.enhanced
    stages: list[StageResult] = []
    tars, variants = NOTHING, list[Shard]()
    endings = [_ending(row) for row in rows]
    for stage, function, *which in _publishing(config):
        outcome = call(stage, function, enhanced, endings, *which)
        stages.append(StageResult(stage, name, raw.clips, outcome))
        if isinstance(outcome, Exception):
            rows = [_failed_row(row, f"publish: {outcome}") for row in rows]
            return FinishedShard(name, stages, rows, enhanced, NOTHING, [], outcome)
        if stage == "publish":
            tars = outcome.result
        else:
            variants += named_shards(outcome.result)
    rows = [_published_row(row, tars, raw, enhanced) for row in rows]
    return FinishedShard(name, stages, rows, enhanced, tars, variants, judged.problem)


NOTHING = Published(None, None, {})


def _publishing(config: RunConfig) -> Iterator[tuple[Any, ...]]:
    """Yield the name, function and further arguments of each call that writes a shard's clips for users."""
    yield "publish", worker_functions.publish
    for variant in VARIANTS if config.variants else ():
        yield "variant", worker_functions.variant, variant


def _results_of_cleaning(
    name: str, raw: RawShard, config: RunConfig, cleaned: worker_functions.Cleaned | Exception
) -> list[StageResult]:
    """Return the results of the stages that one call of `clean` stands for."""
    if isinstance(cleaned, Exception):
        return [StageResult("clean", name, raw.clips, cleaned)]
    before = StageResult("score before", name, to_score(raw, config), cleaned.before)
    if cleaned.enhanced is None or cleaned.after is None:
        return [before]
    survivors = [clip for clip in raw.wanted if clip.clip_id not in cleaned.enhanced.result.failed]
    return [
        before,
        StageResult("enhance", name, raw.wanted, cleaned.enhanced),
        StageResult("score after", name, survivors, cleaned.after),
    ]


def _judge(
    clip: Clip, cleaned: worker_functions.Cleaned | Exception, config: RunConfig, embedded: Embedded | None = None
) -> Row:
    """Return a clip's ledger row with the gate's decision over it."""
    if decision := settled(clip):
        scores = {} if isinstance(cleaned, Exception) else cleaned.before.result.scores
        return Row(clip, decision, scores.get(clip.clip_id, {}), {})
    if isinstance(cleaned, Exception):
        error = f"worker: {cleaned}"
        return Row(replace(clip, error=error), failed(error), {}, {})
    stages = [stage for stage in (cleaned.before, cleaned.enhanced, cleaned.after) if stage]
    before = cleaned.before.result.scores.get(clip.clip_id, {})
    after = cleaned.after.result.scores.get(clip.clip_id, {}) if cleaned.after else None
    own = recorded(clip)
    removed = cleaned.enhanced.result.residual_snr_db if cleaned.enhanced else {}
    if (residual_snr_db := removed.get(clip.clip_id)) is not None:
        own["residual_snr_db"] = residual_snr_db
    if embedded and (likeness := embed.likeness(embedded, clip.clip_id)) is not None:
        own["voice_likeness"] = likeness
    row = Row(clip, _decision(clip, before, after, config, own), before, after or {}, own.get("residual_snr_db"))
    if embedded:
        facts = embed.facts(embedded, clip.clip_id, row.decision)
        decision = one_speaker(row.decision, facts.voice_constancy, config.speakers.constancy_min)
        row = replace(row, decision=decision, voice=facts)
    errors = (s.result.failed[clip.clip_id] for s in stages if clip.clip_id in s.result.failed)
    error = next(errors, None)
    return _failed_row(row, error) if error else row


def _decision(clip: Clip, before: Scores, after: Scores | None, config: RunConfig, own: Scores) -> Decision:
    """Return the gate's decision; where there can be none, the clip fails and the run goes on."""
    try:
        return upsampled(decide(before, after, config.gate, own), clip, config.gate)
    except Exception as error:
        return failed(f"gate: {type(error).__name__}: {error}")


def _after_transcription(row: Row, found: Outcome[Transcribed] | Exception, config: RunConfig) -> Row:
    if not isinstance(found, Exception):
        return heard(row, found.result, config.gate)
    return _failed_row(row, f"transcribe: {found}") if row.decision.verdict is Verdict.KEPT else row


def _failed_row(row: Row, error: str) -> Row:
    return replace(row, clip=replace(row.clip, error=error), decision=failed(error))


def _published_row(row: Row, tars: Published, raw: RawShard, enhanced: Shard | None) -> Row:
    tar = {"kept": tars.kept, "rejected": tars.rejected}.get(row.decision.verdict.value)
    return replace(
        row,
        gain_db=tars.gain_db.get(row.clip.clip_id),
        shard=tar.key if tar else None,
        raw_shard=raw.shard.key,
        enhanced_shard=enhanced.key if enhanced and row.after else None,
    )


def _ending(row: Row) -> Ending:
    return Ending(row.clip, row.decision, row.before, row.after, row.voice.speaker_auto)
