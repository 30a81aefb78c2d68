"""The flow `clean-corpus`: a folder of recordings in; shards, a ledger in which every clip ends, and a report out."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

import enhancers
from flows import artifacts, hooks, observe, progress, work
from flows.config import ELSEWHERE, RunConfig
from flows.engines import Engine, EngineClosed, open_engine
from pipeline import dedup, ledger, versions
from pipeline.clip import Clip, Recording, Verdict
from pipeline.errors import CleanCorpusError, ConfigError
from pipeline.gate import decide, refuse_unreachable, settled
from pipeline.grouping import grouped
from pipeline.places import Place
from pipeline.records import Ending, Ingested, Outcome, Published, RawShard, Shard, canonical_json, named_shards
from pipeline.scoring import CEILINGS, rulers
from pipeline.sources import discover
from pipeline.storage import StorageError, Store, open_store
from pipeline.versions import Manifest

Item = TypeVar("Item")


def _worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """A dead worker or a passing fault, yes; a full disk or a wrong setting will be the same next time.

    Prefect asks only while retries are left, so each yes is one retry.
    """
    error = getattr(state.data, "exception", state.data)
    if isinstance(error, StorageError | ConfigError | EngineClosed):
        return False
    observe.retried(task.name, run.name, error)
    return True


@task(
    name="ingest",
    task_run_name="ingest {group[0].key}",
    retries=2,
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def ingest_group(engine: Engine, config: RunConfig, group: list[Recording]) -> Any:
    return engine.run(work.ingest, config, group)


@task(
    name="clean",
    task_run_name="clean {raw.shard.key}",
    retries=2,
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def clean_shard(engine: Engine, config: RunConfig, raw: RawShard) -> Any:
    return engine.run(work.clean, config, raw)


@task(
    name="publish",
    task_run_name="publish {raw.shard.key}",
    retries=2,
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def publish_shard(
    engine: Engine, config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: list[Ending]
) -> Any:
    return engine.run(work.publish, config, raw, enhanced, endings)


@task(
    name="variant",
    task_run_name="variant {name} {raw.shard.key}",
    retries=2,
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def variant_shard(
    engine: Engine, config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: list[Ending], name: str
) -> Any:
    return engine.run(work.variant, config, raw, enhanced, endings, name)


@task(name="report", cache_policy=NO_CACHE)
def make_report(
    engine: Engine, config: RunConfig, run: dict[str, Any], pairs: list[tuple[RawShard, Shard | None]]
) -> Any:
    return engine.run(work.report, config, run, pairs)


@flow(
    name="clean-corpus",
    task_runner=ThreadPoolTaskRunner(max_workers=256),
    on_completion=[hooks.tell],
    on_failure=[hooks.tell],
    on_crashed=[hooks.tell],
)
def clean_corpus(config: RunConfig) -> dict[str, Any]:
    """Clean every recording below config.input into config.output; returns what run.json says.

    Raises: ConfigError before any work if a setting cannot work or another run uses the output; StorageError if the
    output cannot be written.
    """
    weights = _check(config)
    store = open_store(config.output, config.s3)
    store.prepare()
    run = flow_run.get_id() or "local"
    with (
        store.only_run(),
        observe.Observer(config.observe, run=run, output=config.output) as observer,
        open_engine(config.engine) as engine,
    ):
        observer.workers(engine.workers)
        return _Run(config, weights, store, engine, observer).all_stages()


def _check(config: RunConfig) -> str:
    """Refuse what cannot work before anything is read; returns the hash of the weights."""
    refuse_unreachable(config.gate, CEILINGS)
    rate = enhancers.card(config.enhancer)["sample_rate"]
    if rate != config.audio.sample_rate:
        raise ConfigError(
            f"enhancer {config.enhancer} works at {rate} Hz, audio.sample_rate is {config.audio.sample_rate}; "
            f"set audio.sample_rate={rate}"
        )
    if _same(config.input, config.output):
        raise ConfigError(f"INPUT and OUTPUT are both {config.input}; choose another OUTPUT")
    return enhancers.weights_sha256(config.enhancer)


def _same(one: Place, other: Place) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other


VARIANTS = ("raw", "enhanced")


def _name(raw: RawShard) -> str:
    """A raw shard in log lines, the same at every stage; it begins with the name of the group it was cut from."""
    return PurePosixPath(raw.shard.key).stem


def _enhanced(result: work.Cleaned | str) -> Shard | None:
    return None if isinstance(result, str) else result.enhanced.result.shard


def _ending(row: ledger.Row) -> Ending:
    return Ending(row.clip, row.decision, row.after if row.decision.chosen == "enhanced" else row.before)


class _Run:
    """One run from discovery to report, and what it knows so far."""

    def __init__(
        self, config: RunConfig, weights_sha256: str, store: Store, engine: Engine, observer: observe.Observer
    ) -> None:
        self.config, self.weights_sha256, self.store, self.engine = config, weights_sha256, store, engine
        self.observer, self.console = observer, observer.console
        self.started = datetime.now(UTC)

    def all_stages(self) -> dict[str, Any]:
        with self.observer.timed("discover"):
            recordings = discover(self.config.input, exclude=self.config.output, s3=self.config.s3)
        raws, rest = self._ingest(recordings)
        with self.observer.timed("deduplicate"):
            raws = dedup.mark_duplicates(raws, self.config.dedup)
        cleaned = self._clean(raws)
        rows = [ledger.Row(clip, settled(clip), {}, {}) for clip in rest]
        self.observer.ended(None, rows)
        tars: list[Published] = []
        for part, published in self._publish(raws, cleaned):
            rows += part
            tars += published
        self._nothing_vanished(recordings, rows)
        table = ledger.table(
            rows,
            enhancer=self.config.enhancer,
            weights_sha256=self.weights_sha256,
            config_sha256=hashlib.sha256(canonical_json(self._settings())).hexdigest(),
        )
        self._write_variants(raws, cleaned, rows)
        counted = ledger.summary(table)
        manifest = self._commit(ledger.to_parquet(table), tars, counted)
        pairs = [
            (raw, done.enhanced.result.shard)
            for raw, done in zip(raws, cleaned, strict=True)
            if not isinstance(done, str)
        ]
        with self.observer.timed("report"):
            make_report(self.engine, self.config, self._summary(counted, manifest.version), pairs)
        summary = self._summary(counted, manifest.version)
        self.store.write("run.json", json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n")
        artifacts.results(summary, f"{self.config.output}/report/index.html")
        return summary

    def _commit(self, parquet: bytes, tars: Sequence[Published], counted: dict[str, object]) -> Manifest:
        """The version that this run made, or found unchanged."""
        digest = hashlib.sha256(parquet).hexdigest()
        named = Shard(f"ledgers/{digest[:24]}.parquet", digest, len(parquet), counted["counts"]["in"])
        if self.store.size(named.key) != named.size:
            self.store.write(named.key, parquet)
        draft = Manifest(
            ledger=named,
            shards=sorted((p.kept for p in tars if p.kept), key=lambda shard: shard.key),
            rejected=sorted((p.rejected for p in tars if p.rejected), key=lambda shard: shard.key),
            run=self._summary(counted, None),
        )
        manifest = versions.publish(self.store, draft)
        self.store.write("ledger.parquet", parquet)
        for _ in versions.gc(self.store, self.config.keep_versions):
            pass
        return manifest

    # ---- stages

    def _ingest(self, recordings: Sequence[Recording]) -> tuple[list[RawShard], list[Clip]]:
        pieces = grouped(self.store, recordings, self.config.shards.max_clips)
        done: dict[int, tuple[list[RawShard], list[Clip]]] = {}
        retry: list[tuple[int, Recording]] = []
        calls = {ingest_group.submit(self.engine, self.config, group): i for i, group in enumerate(pieces)}
        for i, outcome in self._collect("ingest", calls, "groups"):
            if isinstance(outcome, Outcome):
                self._ingested(outcome)
                done[i] = (outcome.result.shards, outcome.result.rest)
            else:
                self.observer.failed("ingest", f"{pieces[i][0].key} and {len(pieces[i]) - 1} more", outcome)
                done[i] = ([], [])
                retry += [(i, recording) for recording in pieces[i]]
        # a group that killed its worker three times is read one recording at a time: only the one at fault fails
        calls = {ingest_group.submit(self.engine, self.config, [r]): (i, r) for i, r in retry}
        for (i, recording), outcome in self._collect("ingest", calls, "recordings"):
            if isinstance(outcome, Outcome):
                self._ingested(outcome)
                done[i][0].extend(outcome.result.shards)
                done[i][1].extend(outcome.result.rest)
            else:
                self.observer.failed("ingest", recording.key, outcome)
                lost = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata)
                done[i][1].append(replace(lost, error=f"ingest: {outcome}"))
        raws = [shard for i in sorted(done) for shard in sorted(done[i][0], key=lambda s: s.clips[0].source)]
        return raws, [clip for i in sorted(done) for clip in done[i][1]]

    def _ingested(self, outcome: Outcome[Ingested]) -> None:
        clips = [clip for raw in outcome.result.shards for clip in raw.clips] + outcome.result.rest
        self.observer.account("ingest", outcome.name, clips, outcome)

    def _clean(self, raws: Sequence[RawShard]) -> list[work.Cleaned | str]:
        """Per raw shard what its networks gave, or why they gave nothing."""
        done: dict[int, work.Cleaned | str] = {}
        calls = {clean_shard.submit(self.engine, self.config, raw): i for i, raw in enumerate(raws)}
        for i, result in self._collect("clean", calls, "shards"):
            name, wanted = _name(raws[i]), raws[i].wanted
            if isinstance(result, Exception):
                self.observer.failed("clean", name, result)
                done[i] = f"worker: {result}"
                continue
            done[i] = result
            survivors = [clip for clip in wanted if clip.clip_id not in result.enhanced.result.failed]
            self.observer.account("score before", name, wanted, result.before)
            self.observer.account("enhance", name, wanted, result.enhanced)
            self.observer.account("score after", name, survivors, result.after)
        return [done[i] for i in range(len(raws))]

    def _publish(
        self, raws: Sequence[RawShard], cleaned: Sequence[work.Cleaned | str]
    ) -> Iterator[tuple[list[ledger.Row], list[Published]]]:
        calls = {}
        for raw, result in zip(raws, cleaned, strict=True):
            rows = [self._judge(clip, result) for clip in raw.clips]
            endings = [_ending(row) for row in rows]
            calls[publish_shard.submit(self.engine, self.config, raw, _enhanced(result), endings)] = raw, rows
        for (raw, rows), outcome in self._collect("publish", calls, "shards"):
            if isinstance(outcome, Exception):
                self.observer.failed("publish", _name(raw), outcome)
                part, published = [self._failed(row, f"publish: {outcome}") for row in rows], []
            else:
                self.observer.account("publish", _name(raw), raw.clips, outcome)
                part, published = self._published(rows, outcome.result), [outcome.result]
            self.observer.ended(_name(raw), part)
            yield part, published

    def _published(self, rows: Sequence[ledger.Row], result: Published) -> list[ledger.Row]:
        tars = {Verdict.KEPT: result.kept, Verdict.REJECTED: result.rejected}
        return [
            replace(
                row,
                gain_db=result.gain_db.get(row.clip.clip_id),
                shard=tar.key if (tar := tars.get(row.decision.verdict)) else None,
            )
            for row in rows
        ]

    def _write_variants(
        self, raws: Sequence[RawShard], cleaned: Sequence[work.Cleaned | str], rows: Sequence[ledger.Row]
    ) -> None:
        """Tars with the kept clips as raw and as enhanced, if they are wanted; those of earlier runs go.

        Raises: CleanCorpusError if one could not be written: a comparison of other clips would be none.
        """
        by_id = {row.clip.clip_id: row for row in rows}
        calls = {}
        for raw, result in zip(raws, cleaned, strict=True) if self.config.variants else ():
            endings = [_ending(by_id[clip.clip_id]) for clip in raw.clips]
            for name in VARIANTS:
                call = variant_shard.submit(self.engine, self.config, raw, _enhanced(result), endings, name)
                calls[call] = raw
        written: set[str] = set()
        for raw, outcome in self._collect("variant", calls, "shards"):
            if isinstance(outcome, Exception):
                self.observer.failed("variant", _name(raw), outcome)
                raise CleanCorpusError(f"variants of {raw.shard.key}: {outcome}; run the same command again")
            self.observer.account("variant", _name(raw), raw.clips, outcome)
            written |= {shard.key for shard in named_shards(outcome.result)}
        for key in [key for name in VARIANTS for key in self.store.keys(f"variants/{name}")]:
            if key not in written:
                self.store.delete(key)

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
        with (
            progress.stage(self.console, name, len(calls), unit) as advance,
            self.observer.stage(name, len(calls)) as call_ended,
            artifacts.stage(name, len(calls), unit) as show,
        ):
            for future in as_completed(list(calls)):
                result = future.result(raise_on_failure=False)
                call_ended()
                if isinstance(result, StorageError | ConfigError):
                    raise result
                advance()
                show()
                yield calls[future], result

    def _settings(self) -> dict[str, Any]:
        """What decides over the result: where it lies and how many workers there are does not."""
        return self.config.model_dump(mode="json", exclude=set(ELSEWHERE))

    def _summary(self, counted: dict[str, object], version: int | None) -> dict[str, Any]:
        finished = datetime.now(UTC)
        return {
            "run": self.observer.run,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "wall_s": round((finished - self.started).total_seconds(), 1),
            "input": str(self.config.input),
            "output": str(self.config.output),
            "version": version,
            "enhancer": self.config.enhancer,
            "weights_sha256": self.weights_sha256,
            **counted,
            "stages": self.observer.stages(),
            "config": self._settings(),
            "workers": self.engine.workers,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("clean-corpus", "torch", "onnxruntime", "prefect", "webdataset", "soundfile", "soxr")
            },
            "rulers": rulers(),
        }
