"""One group of recordings, or one shard, taken through its stages by calls to an engine's workers.

A task run has several groups or shards: tens of thousands of task runs would tell nobody anything, and cost the server
more than the work they stand for. A call that fails is made again by itself, so that a shard costs no other its result.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from clean_corpus.flows import worker_functions
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import Engine, EngineClosed
from clean_corpus.flows.observe import observer
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.records import Ending, Ingested, Outcome, Published, RawShard, Shard, named_shards
from clean_corpus.pipeline.core.types import Clip, Recording
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality.gate import decide, failed, settled
from clean_corpus.pipeline.storage.base import StorageError

ATTEMPTS = 3
VARIANTS = ("raw", "enhanced")


@dataclass(frozen=True)
class StageResult:
    """The result of one stage for one group or shard: its clips, and what the stage gave or why it gave nothing."""

    stage: str
    name: str
    clips: list[Clip]
    outcome: Outcome[Any] | Exception


# ---- calls -----------------------------------------------------------------------------------------------------


def call_with_retries(engine: Engine, stage: str, name: str, function: Callable[..., Any], *args: object) -> Any:
    """Call a function in a worker up to three times; return its result, or the exception of the last attempt.

    Raises: StorageError, ConfigError, EngineClosed at once: the run cannot go on.
    """

    def count(state: RetryCallState) -> None:
        observer.count_retry(stage, name, state.outcome and state.outcome.exception())

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        retry=retry_if_exception(_may_pass),
        before_sleep=count,
        reraise=True,
    )
    try:
        return retrying(engine.run, function, *args)
    except Exception as error:
        if not _may_pass(error):
            raise
        return error


def _may_pass(error: BaseException) -> bool:
    """Return whether another attempt may succeed: not with a full disk or a wrong setting."""
    return isinstance(error, Exception) and not isinstance(error, StorageError | ConfigError | EngineClosed)


def label(first: str, count: int) -> str:
    """Return the name of several groups or shards, made of the name of the first.

    >>> label("a", 1), label("a", 3)
    ('a', 'a and 2 more')
    """
    return first if count == 1 else f"{first} and {count - 1} more"


# ---- ingest ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IngestedGroup:
    """A group of recordings after ingest: raw shards, and ledger rows of what has no audio to go on with."""

    stages: list[StageResult] = field(default_factory=list)
    raw_shards: list[RawShard] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def ingest_group(engine: Engine, config: RunConfig, group: list[Recording]) -> IngestedGroup:
    """Cut a group of recordings into clips.

    A group that kills its worker three times is read again one recording at a time, so that only one of them fails.
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
    outcome = call_with_retries(engine, "ingest", name, worker_functions.ingest, config, group)
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


# ---- clean, judge, publish -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FinishedShard:
    """A raw shard after enhancement, gate and publishing: its enhanced version, its tars, and a row for each clip."""

    name: str
    stages: list[StageResult]
    rows: list[Row]
    enhanced: Shard | None
    tars: Published
    variants: list[Shard]


def finish_shard(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> FinishedShard:
    """Score, enhance, judge and publish one raw shard.

    Raises: CleanCorpusError if a variant could not be written: a comparison of other clips would be none.
    """
    stages: list[StageResult] = []
    cleaned = call_with_retries(engine, "clean", name, worker_functions.clean, config, raw)
    stages += _results_of_cleaning(name, raw, cleaned)
    enhanced = None if isinstance(cleaned, Exception) else cleaned.enhanced.result.shard

    def call(stage: str, function: Callable[..., Any], *args: object) -> Any:
        endings = [_ending(row) for row in rows]
        outcome = call_with_retries(engine, stage, name, function, config, raw, enhanced, endings, *args)
        stages.append(StageResult(stage, name, raw.clips, outcome))
        return outcome

    rows = [_judge(clip, cleaned, config) for clip in raw.clips]
    published = call("publish", worker_functions.publish)
    if isinstance(published, Exception):
        tars = Published(None, None, {})
        rows = [_failed_row(row, f"publish: {published}") for row in rows]
    else:
        tars = published.result
        rows = [_published_row(row, tars) for row in rows]
    variants = []
    for variant in VARIANTS if config.variants else ():
        written = call("variant", worker_functions.variant, variant)
        if isinstance(written, Exception):
            raise CleanCorpusError(f"variants of {raw.shard.key}: {written}; run the same command again")
        variants += named_shards(written.result)
    return FinishedShard(name, stages, rows, enhanced, tars, variants)


def _results_of_cleaning(name: str, raw: RawShard, cleaned: worker_functions.Cleaned | Exception) -> list[StageResult]:
    """Return the results of the stages that one call of `clean` stands for."""
    if isinstance(cleaned, Exception):
        return [StageResult("clean", name, raw.clips, cleaned)]
    survivors = [clip for clip in raw.wanted if clip.clip_id not in cleaned.enhanced.result.failed]
    return [
        StageResult("score before", name, raw.wanted, cleaned.before),
        StageResult("enhance", name, raw.wanted, cleaned.enhanced),
        StageResult("score after", name, survivors, cleaned.after),
    ]


def _judge(clip: Clip, cleaned: worker_functions.Cleaned | Exception, config: RunConfig) -> Row:
    """Return a clip's ledger row with the gate's decision over it."""
    if decision := settled(clip):
        return Row(clip, decision, {}, {})
    if isinstance(cleaned, Exception):
        error = f"worker: {cleaned}"
        return Row(replace(clip, error=error), failed(error), {}, {})
    stages = (cleaned.before, cleaned.enhanced, cleaned.after)
    before = cleaned.before.result.scores.get(clip.clip_id, {})
    after = cleaned.after.result.scores.get(clip.clip_id, {})
    row = Row(clip, decide(before, after, config.gate), before, after)
    errors = (s.result.failed[clip.clip_id] for s in stages if clip.clip_id in s.result.failed)
    error = next(errors, None)
    return _failed_row(row, error) if error else row


def _failed_row(row: Row, error: str) -> Row:
    return replace(row, clip=replace(row.clip, error=error), decision=failed(error))


def _published_row(row: Row, tars: Published) -> Row:
    tar = {"kept": tars.kept, "rejected": tars.rejected}.get(row.decision.verdict.value)
    return replace(row, gain_db=tars.gain_db.get(row.clip.clip_id), shard=tar.key if tar else None)


def _ending(row: Row) -> Ending:
    return Ending(row.clip, row.decision, row.after if row.decision.chosen == "enhanced" else row.before)


# ---- report ----------------------------------------------------------------------------------------------------


def write_report(
    engine: Engine, config: RunConfig, run: dict[str, Any], clip_shards: dict[str, tuple[Shard, Shard | None]]
) -> None:
    """Write the report of a whole run, with audio of clips from the shards they lie in.

    Raises: the exception of the last attempt.
    """
    problem = call_with_retries(engine, "report", "report", worker_functions.report, config, run, clip_shards)
    if problem is not None:
        raise problem
