"""One raw shard taken through its stages by calls to an engine's workers.

A task run has several groups or shards: tens of thousands of task runs would tell nobody anything, and cost the server
more than the work they stand for. A call that fails is made again by itself, so that a shard costs no other its result.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clean_corpus.flows import shard_work, worker_functions
from clean_corpus.flows.calls import ATTEMPTS, call_with_retries
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import Engine, WorkerHung, call_limit_s
from clean_corpus.flows.observe import observer
from clean_corpus.flows.shard_work import FinishedShard, JudgedShard
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.records import RawShard, Shard, StageResult
from clean_corpus.pipeline.core.types import Clip
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS, Reviews
from clean_corpus.pipeline.quality.gate import to_score

# ---- copies ----------------------------------------------------------------------------------------------------


def score_raw(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> StageResult:
    """Score the raw clips of one shard, for the choice between copies."""
    limit_s = call_limit_s(config.engine, sum(clip.duration_s for clip in raw.clips))
    outcome = call_with_retries(engine, "score before", name, worker_functions.score_raw, config, raw, limit_s=limit_s)
    return StageResult("score before", name, to_score(raw, config), outcome)


# ---- clean, judge, publish -------------------------------------------------------------------------------------


def finish_shard(
    engine: Engine, config: RunConfig, name: str, raw: RawShard, reviews: Reviews = NO_REVIEWS
) -> list[FinishedShard]:
    """Score, enhance, judge and publish one raw shard; return it, or the parts into which it had to be divided.

    What people decided goes over what the gate says. One call of a worker does all of it; where that fails, each stage
    becomes a call of its own, so that what fails is known.
    """
    limit_s = call_limit_s(config.engine, sum(clip.duration_s for clip in raw.clips))
    at_once = (config, raw, name, reviews.only(raw))
    found = call_with_retries(engine, "clean", name, shard_work.finish, *at_once, attempts=1, limit_s=limit_s)
    if not isinstance(found, Exception):
        return [found]
    observer.count_retry("clean", name, found)
    # a shard that hangs would do so again, for as long
    is_hung = isinstance(found, WorkerHung) and _is_divisible(raw, found)
    finished: list[FinishedShard] = []
    for judged in (_judge_halves if is_hung else judge_shard)(engine, config, name, raw):
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
    whole = shard_work.judge(config, name, raw, _caller(engine, config, name, raw, attempts))
    if not (whole.problem and _is_divisible(raw, whole.problem)):
        return [whole]
    parts = _judge_halves(engine, config, name, raw)
    parts[0].stages[:0] = [result for result in whole.stages if isinstance(result.outcome, Exception)]
    return parts


def _judge_halves(engine: Engine, config: RunConfig, name: str, raw: RawShard) -> list[JudgedShard]:
    parts: list[JudgedShard] = []
    for some in _halves(raw.clips):
        part = replace(raw, clips=raw.clips[some], fingerprints=raw.fingerprints[some])
        parts += judge_shard(engine, config, name, part, 1)  # a part that fails is halved too: no need to insist
    return parts


def publish_judged(
    engine: Engine, config: RunConfig, judged: JudgedShard, attempts: int = ATTEMPTS
) -> list[FinishedShard]:
    """Publish a judged shard; return it, or the parts into which it had to be divided, as `judge_shard` does."""
    whole = shard_work.publish(config, judged, _caller(engine, config, judged.name, judged.raw, attempts))
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
