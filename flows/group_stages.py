"""One group of recordings read and cut into raw shards of clips, by calls to an engine's workers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clean_corpus.flows import worker_functions
from clean_corpus.flows.calls import call_with_retries, label
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import Engine, call_limit_s
from clean_corpus.pipeline.core.records import Ingested, Outcome, RawShard, StageResult
from clean_corpus.pipeline.core.types import Clip, Recording
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality.gate import failed, settled

BYTES_PER_S = 32_000  # of a recording at 16 kHz: how long it is, as far as that is known before it is read


@dataclass(frozen=True)
class IngestedGroup:
    """A group of recordings after ingest: raw shards, and ledger rows of what has no audio to go on with."""

    stages: list[StageResult] = field(default_factory=list)
    raw_shards: list[RawShard] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def ingest_group(engine: Engine, config: RunConfig, parts: list[list[Recording]]) -> IngestedGroup:
    """Cut a group of recordings, given as its parts, into clips.

    A group that kills its worker three times, or hangs, is read again one recording at a time, so that only those
    fail that are at fault.
    """
    ingested = IngestedGroup()
    group = [recording for part in parts for recording in part]
    outcome = _ingest(engine, config, group, ingested, [len(part) for part in parts])
    if isinstance(outcome, Exception) and len(group) > 1:
        for recording in group:
            outcome = _ingest(engine, config, [recording], ingested)
            if isinstance(outcome, Exception):
                ingested.rows.append(_unread_row(recording, outcome))
    elif isinstance(outcome, Exception):
        ingested.rows.append(_unread_row(group[0], outcome))
    return ingested


def _ingest(
    engine: Engine, config: RunConfig, group: list[Recording], ingested: IngestedGroup, sizes: Sequence[int] = ()
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
        sizes,
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
