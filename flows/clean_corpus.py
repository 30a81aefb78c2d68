"""The flow `clean-corpus`: a folder of recordings in; shards, a ledger in which every clip ends, and a report out."""

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

import enhancers
from flows import progress, work
from flows.config import RunConfig
from flows.engines import LocalEngine
from pipeline import dedup, ledger
from pipeline.clip import Clip, Recording, Verdict
from pipeline.errors import CleanCorpusError, ConfigError
from pipeline.gate import decide, refuse_unreachable, settled
from pipeline.records import Ending, Outcome, RawShard, Shard, canonical_json, named_shards
from pipeline.scoring import CEILINGS, rulers
from pipeline.sources import discover
from pipeline.storage import StorageError, Store

Item = TypeVar("Item")


def _worth_retrying(_task: object, _run: object, state: Any) -> bool:
    """A dead worker or a passing fault, yes; a full disk or a wrong setting will be the same next time."""
    error = state.data
    return not isinstance(getattr(error, "exception", error), StorageError | ConfigError)


@task(name="ingest", retries=2, retry_condition_fn=_worth_retrying, cache_policy=NO_CACHE)
def ingest_group(engine: LocalEngine, config: RunConfig, group: list[Recording]) -> Any:
    return engine.run(work.ingest, config, group)


@task(name="clean", retries=2, retry_condition_fn=_worth_retrying, cache_policy=NO_CACHE)
def clean_shard(engine: LocalEngine, config: RunConfig, raw: RawShard) -> Any:
    return engine.run(work.clean, config, raw)


@task(name="publish", retries=2, retry_condition_fn=_worth_retrying, cache_policy=NO_CACHE)
def publish_shard(
    engine: LocalEngine, config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: list[Ending]
) -> Any:
    return engine.run(work.publish, config, raw, enhanced, endings)


@task(name="version", retries=2, retry_condition_fn=_worth_retrying, cache_policy=NO_CACHE)
def version_shard(
    engine: LocalEngine, config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: list[Ending], name: str
) -> Any:
    return engine.run(work.version, config, raw, enhanced, endings, name)


@task(name="report", cache_policy=NO_CACHE)
def make_report(
    engine: LocalEngine, config: RunConfig, run: dict[str, Any], pairs: list[tuple[RawShard, Shard | None]]
) -> Any:
    return engine.run(work.report, config, run, pairs)


@flow(name="clean-corpus", task_runner=ThreadPoolTaskRunner(max_workers=64))
def clean_corpus(config: RunConfig) -> dict[str, Any]:
    """Clean every recording below config.input into config.output; returns what run.json says.

    Raises: ConfigError before any work if a setting cannot work or another run uses the output; StorageError if the
    output cannot be written.
    """
    weights = _check(config)
    store = Store(config.output)
    with _only_run(store), LocalEngine(config.engine.workers) as engine:
        return _Run(config, weights, store, engine).all_stages()


def _check(config: RunConfig) -> str:
    """Refuse what cannot work before anything is read; returns the hash of the weights."""
    refuse_unreachable(config.gate, CEILINGS)
    rate = enhancers.card(config.enhancer)["sample_rate"]
    if rate != config.audio.sample_rate:
        raise ConfigError(
            f"enhancer {config.enhancer} works at {rate} Hz, audio.sample_rate is {config.audio.sample_rate}; "
            f"set audio.sample_rate={rate}"
        )
    if config.output.resolve() == config.input.resolve():
        raise ConfigError(f"INPUT and OUTPUT are both {config.input}; choose another OUTPUT")
    return enhancers.weights_sha256(config.enhancer)


@contextmanager
def _only_run(store: Store) -> Iterator[None]:
    lock = FileLock(store.path("work/.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(f"output {store.root}: another run is writing there; wait for it or choose another") from None
    try:
        store.sweep()
        yield
    finally:
        lock.release()


GROUP_BYTES = 64 * 2**20


def groups(recordings: Sequence[Recording], max_clips: int) -> list[list[Recording]]:
    """Recordings in order, cut where a hash of the name says so, and at max_clips or 64 MiB at the latest.

    Cuts depend on names and not on counts, so one new file changes one group and leaves the work on others in place.
    """
    result: list[list[Recording]] = [[]]
    for recording in recordings:
        result[-1].append(recording)
        draw = int(hashlib.sha256(recording.key.encode()).hexdigest()[:8], 16)
        full = len(result[-1]) >= max_clips or sum(r.size for r in result[-1]) >= GROUP_BYTES
        if full or draw % max(1, max_clips // 2) == 0:
            result.append([])
    return [group for group in result if group]


VERSIONS = ("raw", "enhanced")


def _enhanced(result: work.Cleaned | str) -> Shard | None:
    return None if isinstance(result, str) else result.enhanced.result.shard


def _ending(row: ledger.Row) -> Ending:
    return Ending(row.clip, row.decision, row.after if row.decision.chosen == "enhanced" else row.before)


class _Run:
    """One run from discovery to report: what it knows so far, and how long each stage took."""

    def __init__(self, config: RunConfig, weights_sha256: str, store: Store, engine: LocalEngine) -> None:
        self.config, self.weights_sha256, self.store, self.engine = config, weights_sha256, store, engine
        self.console = Console(stderr=True)
        self.started = datetime.now(UTC)
        self.timings: dict[str, dict[str, float]] = {}

    def all_stages(self) -> dict[str, Any]:
        with self._timed("discover"):
            recordings = discover(self.config.input, exclude=self.config.output)
        raws, rest = self._ingest(recordings)
        with self._timed("deduplicate"):
            raws = dedup.mark_duplicates(raws, self.config.dedup)
        cleaned = self._clean(raws)
        rows = [ledger.Row(clip, settled(clip), {}, {}) for clip in rest]
        kept_shards: set[str] = set()
        for part, shards_of_part in self._publish(raws, cleaned):
            rows += part
            kept_shards |= shards_of_part
        self._nothing_vanished(recordings, rows)
        table = ledger.table(
            rows,
            enhancer=self.config.enhancer,
            weights_sha256=self.weights_sha256,
            config_sha256=hashlib.sha256(canonical_json(self._settings())).hexdigest(),
        )
        self.store.write("ledger.parquet", ledger.to_parquet(table))
        if self.config.versions:
            kept_shards |= self._write_versions(raws, cleaned, rows)
        for folder in ("shards", "rejected", *(f"versions/{name}" for name in VERSIONS)):
            for key in self.store.keys(folder):
                if key not in kept_shards:
                    self.store.delete(key)  # of an earlier run with other settings
        summary = self._summary(ledger.summary(table))
        pairs = [
            (raw, done.enhanced.result.shard)
            for raw, done in zip(raws, cleaned, strict=True)
            if not isinstance(done, str)
        ]
        with self._timed("report"):
            make_report(self.engine, self.config, summary, pairs)
        summary = self._summary(ledger.summary(table))
        self.store.write("run.json", json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n")
        return summary

    # ---- stages

    def _ingest(self, recordings: Sequence[Recording]) -> tuple[list[RawShard], list[Clip]]:
        pieces = groups(recordings, self.config.shards.max_clips)
        done: dict[int, tuple[list[RawShard], list[Clip]]] = {}
        retry: list[tuple[int, Recording]] = []
        calls = {ingest_group.submit(self.engine, self.config, group): i for i, group in enumerate(pieces)}
        for i, outcome in self._collect("ingest", calls, "groups"):
            if isinstance(outcome, Outcome):
                self._account("ingest", outcome)
                done[i] = (outcome.result.shards, outcome.result.rest)
            else:
                done[i] = ([], [])
                retry += [(i, recording) for recording in pieces[i]]
        # a group that killed its worker three times is read one recording at a time: only the one at fault fails
        calls = {ingest_group.submit(self.engine, self.config, [r]): (i, r) for i, r in retry}
        for (i, recording), outcome in self._collect("ingest", calls, "recordings"):
            if isinstance(outcome, Outcome):
                self._account("ingest", outcome)
                done[i][0].extend(outcome.result.shards)
                done[i][1].extend(outcome.result.rest)
            else:
                lost = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata)
                done[i][1].append(replace(lost, error=f"ingest: {outcome}"))
        raws = [shard for i in sorted(done) for shard in sorted(done[i][0], key=lambda s: s.clips[0].source)]
        return raws, [clip for i in sorted(done) for clip in done[i][1]]

    def _clean(self, raws: Sequence[RawShard]) -> list[work.Cleaned | str]:
        """Per raw shard what its networks gave, or why they gave nothing."""
        done: dict[int, work.Cleaned | str] = {}
        calls = {clean_shard.submit(self.engine, self.config, raw): i for i, raw in enumerate(raws)}
        for i, result in self._collect("clean", calls, "shards"):
            if isinstance(result, Exception):
                done[i] = f"worker: {result}"
                continue
            done[i] = result
            self._account("score before", result.before)
            self._account("enhance", result.enhanced)
            self._account("score after", result.after)
        return [done[i] for i in range(len(raws))]

    def _publish(
        self, raws: Sequence[RawShard], cleaned: Sequence[work.Cleaned | str]
    ) -> Iterator[tuple[list[ledger.Row], set[str]]]:
        calls = {}
        for raw, result in zip(raws, cleaned, strict=True):
            rows = [self._judge(clip, result) for clip in raw.clips]
            endings = [_ending(row) for row in rows]
            calls[publish_shard.submit(self.engine, self.config, raw, _enhanced(result), endings)] = rows
        for rows, outcome in self._collect("publish", calls, "shards"):
            if isinstance(outcome, Exception):
                yield [self._failed(row, f"publish: {outcome}") for row in rows], set()
                continue
            self._account("publish", outcome)
            tars = {Verdict.KEPT: outcome.result.kept, Verdict.REJECTED: outcome.result.rejected}
            gains = outcome.result.gain_db
            yield (
                [
                    replace(
                        row,
                        gain_db=gains.get(row.clip.clip_id),
                        shard=tar.key if (tar := tars.get(row.decision.verdict)) else None,
                    )
                    for row in rows
                ],
                {shard.key for shard in named_shards(outcome.result)},
            )

    def _write_versions(
        self, raws: Sequence[RawShard], cleaned: Sequence[work.Cleaned | str], rows: Sequence[ledger.Row]
    ) -> set[str]:
        """Keys of the tars with the kept clips as raw and as enhanced.

        Raises: CleanCorpusError if one could not be written: a comparison of other clips would be none.
        """
        by_id = {row.clip.clip_id: row for row in rows}
        calls = {}
        for raw, result in zip(raws, cleaned, strict=True):
            endings = [_ending(by_id[clip.clip_id]) for clip in raw.clips]
            for name in VERSIONS:
                call = version_shard.submit(self.engine, self.config, raw, _enhanced(result), endings, name)
                calls[call] = raw.shard.key
        written: set[str] = set()
        for key, outcome in self._collect("version", calls, "shards"):
            if isinstance(outcome, Exception):
                raise CleanCorpusError(f"versions of {key}: {outcome}; run the same command again")
            self._account("version", outcome)
            written |= {shard.key for shard in named_shards(outcome.result)}
        return written

    def _judge(self, clip: Clip, result: work.Cleaned | str) -> ledger.Row:
        if decision := settled(clip):
            return ledger.Row(clip, decision, {}, {})
        if isinstance(result, str):
            return self._failed(ledger.Row(clip, None, {}, {}), result)
        stages = (result.before, result.enhanced, result.after)
        before = result.before.result.scores.get(clip.clip_id, {})
        after = result.after.result.scores.get(clip.clip_id, {})
        row = ledger.Row(clip, None, before, after)
        if error := next((s.result.failed[clip.clip_id] for s in stages if clip.clip_id in s.result.failed), None):
            return self._failed(row, error)
        return replace(row, decision=decide(before, after, self.config.gate))

    def _failed(self, row: ledger.Row, error: str) -> ledger.Row:
        clip = replace(row.clip, error=error)
        return replace(row, clip=clip, decision=settled(clip))

    def _nothing_vanished(self, recordings: Sequence[Recording], rows: Sequence[ledger.Row]) -> None:
        missing = {r.source for r in recordings} - {row.clip.source for row in rows}
        ids = len({row.clip.clip_id for row in rows})
        if missing or ids != len(rows):
            raise CleanCorpusError(
                f"the ledger lacks {len(missing)} of {len(recordings)} recordings ({sorted(missing)[:3]}) or repeats a "
                f"clip ({len(rows)} rows, {ids} ids); this is a bug, the ledger was not written"
            )

    # ---- keeping count

    def _collect(self, name: str, calls: dict[PrefectFuture, Item], unit: str) -> Iterator[tuple[Item, Any]]:
        """Each call's item with its result, or with the exception that was left after the retries."""
        if not calls:
            return
        with progress.stage(self.console, name, len(calls), unit) as advance:
            for future in as_completed(list(calls)):
                result = future.result(raise_on_failure=False)
                if isinstance(result, StorageError | ConfigError):
                    raise result
                advance()
                yield calls[future], result

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = {"seconds": round(time.perf_counter() - start, 3), "done": 1, "reused": 0}

    def _account(self, name: str, outcome: Outcome[Any]) -> None:
        entry = self.timings.setdefault(name, {"seconds": 0.0, "done": 0, "reused": 0})
        entry["seconds"] = round(entry["seconds"] + outcome.seconds, 3)
        entry["reused" if outcome.reused else "done"] += 1

    def _settings(self) -> dict[str, Any]:
        """What decides over the result: where it lies and how many workers there are does not."""
        return self.config.model_dump(mode="json", exclude={"input", "output", "engine", "versions"})

    def _summary(self, counted: dict[str, object]) -> dict[str, Any]:
        finished = datetime.now(UTC)
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "wall_s": round((finished - self.started).total_seconds(), 1),
            "input": str(self.config.input),
            "output": str(self.config.output),
            "enhancer": self.config.enhancer,
            "weights_sha256": self.weights_sha256,
            **counted,
            "stages": [{"name": name, **timing} for name, timing in self.timings.items()],
            "config": self._settings(),
            "workers": self.config.engine.workers,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("clean-corpus", "torch", "onnxruntime", "prefect", "webdataset", "soundfile", "soxr")
            },
            "rulers": rulers(),
        }
