"""One raw shard taken through its stages by calls to an engine's workers.

A task run has several groups or shards: tens of thousands of task runs would tell nobody anything, and cost the server
more than the work they stand for. A call that fails is made again by itself, so that a shard costs no other its result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from clean_corpus.flows import worker_functions
from clean_corpus.flows.calls import ATTEMPTS, StageResult, call_with_retries
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import Engine, call_limit_s
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.records import (
    Embedded,
    Ending,
    Outcome,
    Published,
    RawShard,
    Shard,
    Transcribed,
    named_shards,
)
from clean_corpus.pipeline.core.types import Clip, Decision, Scores, Verdict
from clean_corpus.pipeline.corpus import embed
from clean_corpus.pipeline.corpus.heard import heard
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS, Reviews
from clean_corpus.pipeline.quality.gate import decide, failed, recorded, settled, to_score, upsampled
from clean_corpus.pipeline.quality.speakers import one_speaker

VARIANTS = ("raw", "enhanced")


# ---- copies ----------------------------------------------------------------------------------------------------


def score_raw(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> StageResult:
    """Score the raw clips of one shard, for the choice between copies."""
    limit_s = call_limit_s(config.engine, sum(clip.duration_s for clip in raw.clips))
    outcome = call_with_retries(engine, "score before", name, worker_functions.score_raw, config, raw, limit_s=limit_s)
    return StageResult("score before", name, to_score(raw, config), outcome)


# ---- clean, judge, publish -------------------------------------------------------------------------------------


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


def finish_shard(
    engine: Engine, config: RunConfig, name: str, raw: RawShard, reviews: Reviews = NO_REVIEWS
) -> list[FinishedShard]:
    """Score, enhance, judge and publish one raw shard; return it, or the parts into which it had to be divided.

    What people decided goes over what the gate says.
    """
    finished: list[FinishedShard] = []
    for judged in judge_shard(engine, config, name, raw):
        judged = replace(judged, rows=[reviews.overruled(row) for row in judged.rows])
        parts = publish_judged(engine, config, judged)
        parts[0].stages[:0] = judged.stages
        finished += parts
    return finished


def judge_shard(
    engine: Engine, config: RunConfig, name: str, raw: RawShard, attempts: int = ATTEMPTS
) -> list[JudgedShard]:
    """Score, enhance and judge one raw shard; return it, or the parts into which it had to be divided.

    A shard that kills its worker three times, or hangs, is halved, and so are its halves, so that only those clips fail
    that are at fault.
    """
    whole = _judge_whole(engine, config, name, raw, attempts)
    if not (whole.problem and _is_divisible(raw, whole.problem)):
        return [whole]
    parts: list[JudgedShard] = []
    for some in _halves(raw.clips):
        part = replace(raw, clips=raw.clips[some], fingerprints=raw.fingerprints[some])
        parts += judge_shard(engine, config, name, part, 1)  # a part that fails is halved too: no need to insist
    parts[0].stages[:0] = [result for result in whole.stages if isinstance(result.outcome, Exception)]
    return parts


def publish_judged(
    engine: Engine, config: RunConfig, judged: JudgedShard, attempts: int = ATTEMPTS
) -> list[FinishedShard]:
    """Publish a judged shard; return it, or the parts into which it had to be divided, as `judge_shard` does."""
    whole = _publish_whole(engine, config, judged, attempts)
    if judged.problem or not (whole.problem and _is_divisible(judged.raw, whole.problem)):
        return [whole]
    parts: list[FinishedShard] = []
    raw = judged.raw
    for some in _halves(raw.clips):
        part = replace(raw, clips=raw.clips[some], fingerprints=raw.fingerprints[some])
        parts += publish_judged(engine, config, replace(judged, raw=part, rows=judged.rows[some]), 1)
    parts[0].stages[:0] = [result for result in whole.stages if isinstance(result.outcome, Exception)]
    return parts


def _halves(clips: list[Clip]) -> tuple[slice, slice]:
    middle = len(clips) // 2
    return slice(middle), slice(middle, None)


def _is_divisible(raw: RawShard, problem: Exception) -> bool:
    """Return whether parts of a shard may end better than all of it: a DataError is of the file that all lie in."""
    return len(raw.clips) > 1 and not isinstance(problem, DataError)


def _caller(engine: Engine, config: RunConfig, name: str, raw: RawShard, attempts: int) -> Callable[..., Any]:
    """Return what calls a function in a worker for one raw shard."""
    is_alone = len(raw.clips) == 1

    def call(stage: str, function: Callable[..., Any], *args: object) -> Any:
        return call_with_retries(
            engine,
            stage,
            name,
            function,
            config,
            raw,
            *args,
            attempts=ATTEMPTS if is_alone else attempts,
            again_if_hung=is_alone,
            limit_s=call_limit_s(config.engine, sum(clip.duration_s for clip in raw.clips)),
        )

    return call


def _judge_whole(engine: Engine, config: RunConfig, name: str, raw: RawShard, attempts: int) -> JudgedShard:
    """Take a shard through its stages up to the gate, or up to the first that gives nothing."""
    call = _caller(engine, config, name, raw, attempts)
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


def _publish_whole(engine: Engine, config: RunConfig, judged: JudgedShard, attempts: int) -> FinishedShard:
    """Write what users get of a judged shard, up to the first stage that gives nothing."""
    name, raw, rows, enhanced = judged.name, judged.raw, judged.rows, judged.enhanced
    call = _caller(engine, config, name, raw, attempts)
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


# ---- report ----------------------------------------------------------------------------------------------------


def write_report(
    engine: Engine, config: RunConfig, run: dict[str, Any], clip_shards: dict[str, tuple[Shard, Shard | None]]
) -> None:
    """Write the report of a whole run, with audio of clips from the shards they lie in.

    Raises: the exception of the last attempt.
    """
    limit_s = call_limit_s(config.engine, 0)
    problem = call_with_retries(
        engine, "report", "report", worker_functions.report, config, run, clip_shards, limit_s=limit_s
    )
    if problem is not None:
        raise problem
