"""What a Prefect task does with its share of a stage: calls to the engine for one group or shard after the other.

One task run has several shards: tens of thousands of task runs would tell nobody anything, and cost the server more
than the work they stand for. A call that fails is made again by itself, so that a shard costs no other its result.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from clean_corpus.flows import worker
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


def _worth_retrying(error: BaseException) -> bool:
    """A dead worker or a passing fault, yes; a full disk or a wrong setting will be the same next time."""
    return isinstance(error, Exception) and not isinstance(error, StorageError | ConfigError | EngineClosed)


def attempt(engine: Engine, stage: str, name: str, function: Callable[..., Any], *args: object) -> Any:
    """The function's result in a worker, or the exception that was left after three attempts.

    Raises: StorageError, ConfigError, EngineClosed at once: the run cannot go on.
    """

    def count(state: RetryCallState) -> None:
        observer.retried(stage, name, state.outcome and state.outcome.exception())

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        retry=retry_if_exception(_worth_retrying),
        before_sleep=count,
        reraise=True,
    )
    try:
        return retrying(engine.run, function, *args)
    except Exception as error:
        if not _worth_retrying(error):
            raise
        return error


@dataclass(frozen=True)
class Told:
    """What one stage made of one group or shard: the clips it was given, or made; the exception if it gave nothing."""

    stage: str
    name: str
    clips: list[Clip]
    outcome: Outcome[Any] | Exception


# ---- ingest ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """A group of recordings: raw shards, and the rows of what has no audio to go on with."""

    told: list[Told] = field(default_factory=list)
    raws: list[RawShard] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def read(engine: Engine, config: RunConfig, group: list[Recording]) -> Read:
    """One group; if that kills its worker three times, its recordings one by one: only the one at fault fails."""
    done = Read()
    outcome = _read(engine, config, group, done)
    if isinstance(outcome, Exception) and len(group) > 1:
        for recording in group:
            outcome = _read(engine, config, [recording], done)
            if isinstance(outcome, Exception):
                done.rows.append(_unread(recording, outcome))
    elif isinstance(outcome, Exception):
        done.rows.append(_unread(group[0], outcome))
    return done


def _read(engine: Engine, config: RunConfig, group: list[Recording], done: Read) -> Outcome[Ingested] | Exception:
    name = label(group[0].key, len(group))
    outcome = attempt(engine, "ingest", name, worker.ingest, config, group)
    if isinstance(outcome, Exception):
        done.told.append(Told("ingest", name, [], outcome))
        return outcome
    made = outcome.result
    clips = [clip for raw in made.shards for clip in raw.clips] + made.rest
    done.told.append(Told("ingest", outcome.name, clips, outcome))
    done.raws.extend(made.shards)
    done.rows.extend(Row(clip, settled(clip) or failed("no audio and no reason"), {}, {}) for clip in made.rest)
    return outcome


def _unread(recording: Recording, problem: Exception) -> Row:
    error = f"ingest: {problem}"
    clip = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata, error=error)
    return Row(clip, failed(error), {}, {})


def label(first: str, count: int) -> str:
    """Several things by the name of their first.

    >>> label("a", 1), label("a", 3)
    ('a', 'a and 2 more')
    """
    return first if count == 1 else f"{first} and {count - 1} more"


# ---- clean, judge, publish -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """A raw shard after its networks, the gate and publishing: its enhanced twin, its tars, and a row for each clip."""

    name: str
    told: list[Told]
    rows: list[Row]
    enhanced: Shard | None
    tars: Published
    variants: list[Shard]


def finish(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> Finished:
    """One raw shard from its networks to its tars.

    Raises: CleanCorpusError if a variant could not be written: a comparison of other clips would be none.
    """
    told: list[Told] = []

    def call(stage: str, function: Callable[..., Any], *args: object) -> Any:
        outcome = attempt(engine, stage, name, function, config, raw, *args)
        if stage != "clean" or isinstance(outcome, Exception):
            told.append(Told(stage, name, raw.clips, outcome))
        return outcome

    cleaned = call("clean", worker.clean)
    enhanced = None
    if not isinstance(cleaned, Exception):
        enhanced = cleaned.enhanced.result.shard
        survivors = [clip for clip in raw.wanted if clip.clip_id not in cleaned.enhanced.result.failed]
        told.append(Told("score before", name, raw.wanted, cleaned.before))
        told.append(Told("enhance", name, raw.wanted, cleaned.enhanced))
        told.append(Told("score after", name, survivors, cleaned.after))
    rows = [_judged(clip, cleaned, config) for clip in raw.clips]
    published = call("publish", worker.publish, enhanced, [_ending(row) for row in rows])
    tars = Published(None, None, {})
    if isinstance(published, Exception):
        rows = [_lost(row, f"publish: {published}") for row in rows]
    else:
        tars = published.result
        rows = [_published(row, tars) for row in rows]
    variants = []
    for variant in VARIANTS if config.variants else ():
        written = call("variant", worker.variant, enhanced, [_ending(row) for row in rows], variant)
        if isinstance(written, Exception):
            raise CleanCorpusError(f"variants of {raw.shard.key}: {written}; run the same command again")
        variants += named_shards(written.result)
    return Finished(name, told, rows, enhanced, tars, variants)


def _judged(clip: Clip, cleaned: worker.Cleaned | Exception, config: RunConfig) -> Row:
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
    return _lost(row, error) if error else row


def _lost(row: Row, error: str) -> Row:
    return replace(row, clip=replace(row.clip, error=error), decision=failed(error))


def _published(row: Row, tars: Published) -> Row:
    tar = {"kept": tars.kept, "rejected": tars.rejected}.get(row.decision.verdict.value)
    return replace(row, gain_db=tars.gain_db.get(row.clip.clip_id), shard=tar.key if tar else None)


def _ending(row: Row) -> Ending:
    return Ending(row.clip, row.decision, row.after if row.decision.chosen == "enhanced" else row.before)


# ---- report ----------------------------------------------------------------------------------------------------


def report(
    engine: Engine, config: RunConfig, run: dict[str, Any], homes: dict[str, tuple[Shard, Shard | None]]
) -> None:
    """The report of a whole run.

    Raises: the exception that was left.
    """
    left = attempt(engine, "report", "report", worker.report, config, run, homes)
    if left is not None:
        raise left
