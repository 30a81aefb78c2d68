"""One group of recordings, or one shard, taken through its stages by calls to an engine's workers.

A task run has several groups or shards: tens of thousands of task runs would tell nobody anything, and cost the server
more than the work they stand for. A call that fails is made again by itself, so that a shard costs no other its result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from clean_corpus.flows import worker_functions
from clean_corpus.flows.calls import ATTEMPTS, StageResult, call_with_retries, label
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import Engine, call_limit_s
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.records import (
    Ending,
    Ingested,
    Outcome,
    Published,
    RawShard,
    Shard,
    Transcribed,
    named_shards,
)
from clean_corpus.pipeline.core.types import Clip, Decision, Recording, Scores, Verdict
from clean_corpus.pipeline.corpus.heard import heard
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality.gate import decide, failed, recorded, settled, upsampled

BYTES_PER_S = 32_000  # of a recording at 16 kHz: how long it is, as far as that is known before it is read
VARIANTS = ("raw", "enhanced")


# ---- ingest ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IngestedGroup:
    """A group of recordings after ingest: raw shards, and ledger rows of what has no audio to go on with."""

    stages: list[StageResult] = field(default_factory=list)
    raw_shards: list[RawShard] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def ingest_group(engine: Engine, config: RunConfig, group: list[Recording]) -> IngestedGroup:
    """Cut a group of recordings into clips.

    A group that kills its worker three times, or hangs, is read again one recording at a time, so that only those
    fail that are at fault.
    """
    ingested = IngestedGroup()
    outcome = _ingest(engine, config, group, ingested)
    if isinstance(outcome, Exception) and len(group) > 1:
        for recording in group:
            outcome = _ingest(engine, config, [recording], ingested)
            if isinstance(outcome, Exception):
                ingested.rows.append(_unread_row(recording, outcome))
    elif isinstance(outcome, Exception):
        ingested.rows.append(_unread_row(group[0], outcome))
    return ingested


def _ingest(
    engine: Engine, config: RunConfig, group: list[Recording], ingested: IngestedGroup
) -> Outcome[Ingested] | Exception:
    """Call the stage and add its results to `ingested`; return its outcome."""
    name = label(group[0].key, len(group))
    outcome = call_with_retries(
        engine,
        "ingest",
        name,
        worker_functions.ingest,
        config,
        group,
        again_if_hung=len(group) == 1,
        limit_s=call_limit_s(config.engine, sum(recording.size for recording in group) / BYTES_PER_S),
    )
    if isinstance(outcome, Exception):
        ingested.stages.append(StageResult("ingest", name, [], outcome))
        return outcome
    result = outcome.result
    clips = [clip for raw in result.shards for clip in raw.clips] + result.rest
    ingested.stages.append(StageResult("ingest", outcome.name, clips, outcome))
    ingested.raw_shards.extend(result.shards)
    ingested.rows.extend(Row(clip, settled(clip) or failed("no audio and no reason"), {}, {}) for clip in result.rest)
    return outcome


def _unread_row(recording: Recording, problem: Exception) -> Row:
    """Return the ledger row of a recording that gave no clip."""
    error = f"ingest: {problem}"
    clip = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata, error=error)
    return Row(clip, failed(error), {}, {})


# ---- copies ----------------------------------------------------------------------------------------------------


def score_raw(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> StageResult:
    """Score the raw clips of one shard, for the choice between copies."""
    limit_s = call_limit_s(config.engine, sum(clip.duration_s for clip in raw.clips))
    outcome = call_with_retries(engine, "score before", name, worker_functions.score_raw, config, raw, limit_s=limit_s)
    return StageResult("score before", name, raw.to_score, outcome)


# ---- clean, judge, publish -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FinishedShard:
    """A raw shard, or a part of one, after enhancement, gate and publishing: its enhanced version, its tars, and a row
    for each clip. `problem` is why it has no result."""

    name: str
    stages: list[StageResult]
    rows: list[Row]
    enhanced: Shard | None
    tars: Published
    variants: list[Shard]
    problem: Exception | None = None


def finish_shard(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> list[FinishedShard]:
    """Score, enhance, judge and publish one raw shard; return it, or the parts into which it had to be divided.

    A shard that kills its worker three times, or hangs, is halved, and so are its halves, so that only those clips fail
    that are at fault.
    """
    return _finish_or_halve(engine, config, name, raw, ATTEMPTS)


def _finish_or_halve(engine: Engine, config: RunConfig, name: str, raw: RawShard, attempts: int) -> list[FinishedShard]:
    whole = _finish(engine, config, name, raw, attempts)
    if not (whole.problem and _is_divisible(raw, whole.problem)):
        return [whole]
    middle = len(raw.clips) // 2
    parts: list[FinishedShard] = []
    for some in (slice(middle), slice(middle, None)):
        part = replace(raw, clips=raw.clips[some], fingerprints=raw.fingerprints[some])
        parts += _finish_or_halve(engine, config, name, part, 1)  # a part that fails is halved too: no need to insist
    parts[0].stages[:0] = [result for result in whole.stages if isinstance(result.outcome, Exception)]
    return parts


def _is_divisible(raw: RawShard, problem: Exception) -> bool:
    """Return whether parts of a shard may end better than all of it: a DataError is of the file that all lie in."""
    return len(raw.clips) > 1 and not isinstance(problem, DataError)


def _finish(engine: Engine, config: RunConfig, name: str, raw: RawShard, attempts: int) -> FinishedShard:
    """Take a shard through its stages, up to the first that gives nothing."""
    stages: list[StageResult] = []
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

    cleaned = call("clean", worker_functions.clean)
    stages += _results_of_cleaning(name, raw, cleaned)
    rows = [_judge(clip, cleaned, config) for clip in raw.clips]
    tars, variants, problem = NOTHING, list[Shard](), cleaned if isinstance(cleaned, Exception) else None
    enhanced = None if isinstance(cleaned, Exception) or not cleaned.enhanced else cleaned.enhanced.result.shard
    if problem and _is_divisible(raw, problem):
        return FinishedShard(name, stages, rows, None, NOTHING, [], problem)
    if config.text.transcriber and not problem:
        found = call("transcribe", worker_functions.transcribe, enhanced, [_ending(row) for row in rows])
        kept = [row.clip for row in rows if row.decision.verdict is Verdict.KEPT]
        stages.append(StageResult("transcribe", name, kept, found))
        if isinstance(found, Exception) and _is_divisible(raw, found):
            return FinishedShard(name, stages, rows, None, NOTHING, [], found)
        rows = [_after_transcription(row, found, config) for row in rows]
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
    return FinishedShard(name, stages, [_published_row(row, tars) for row in rows], enhanced, tars, variants, problem)


NOTHING = Published(None, None, {})


def _publishing(config: RunConfig) -> Iterator[tuple[Any, ...]]:
    """Yield the name, function and further arguments of each call that writes a shard's clips for users."""
    yield "publish", worker_functions.publish
    for variant in VARIANTS if config.variants else ():
        yield "variant", worker_functions.variant, variant


def _results_of_cleaning(name: str, raw: RawShard, cleaned: worker_functions.Cleaned | Exception) -> list[StageResult]:
    """Return the results of the stages that one call of `clean` stands for."""
    if isinstance(cleaned, Exception):
        return [StageResult("clean", name, raw.clips, cleaned)]
    before = StageResult("score before", name, raw.to_score, cleaned.before)
    if cleaned.enhanced is None or cleaned.after is None:
        return [before]
    survivors = [clip for clip in raw.wanted if clip.clip_id not in cleaned.enhanced.result.failed]
    return [
        before,
        StageResult("enhance", name, raw.wanted, cleaned.enhanced),
        StageResult("score after", name, survivors, cleaned.after),
    ]


def _judge(clip: Clip, cleaned: worker_functions.Cleaned | Exception, config: RunConfig) -> Row:
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
    row = Row(clip, _decision(clip, before, after, config, own), before, after or {}, own.get("residual_snr_db"))
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


def _published_row(row: Row, tars: Published) -> Row:
    tar = {"kept": tars.kept, "rejected": tars.rejected}.get(row.decision.verdict.value)
    return replace(row, gain_db=tars.gain_db.get(row.clip.clip_id), shard=tar.key if tar else None)


def _ending(row: Row) -> Ending:
    return Ending(row.clip, row.decision, row.before, row.after)


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
