"""The flow `clean-corpus`: a folder of recordings in; shards, a ledger in which every clip ends, and a report out."""

import hashlib
import importlib.metadata
import json
import queue
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from clean_corpus.flows import calls, checks, exports, group_stages, shard_stages, task_runs, training_overlap
from clean_corpus.flows.config import ELSEWHERE, RunConfig
from clean_corpus.flows.engines import open_engine
from clean_corpus.flows.engines.base import Engine
from clean_corpus.flows.observe import artifacts, hooks, progress
from clean_corpus.flows.observe import observer as observe
from clean_corpus.flows.shard_work import VARIANTS, FinishedShard, JudgedShard
from clean_corpus.flows.task_runs import AHEAD, Stage, batches, per_task, work_through
from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.hashing import canonical_json, sha256_file
from clean_corpus.pipeline.core.records import RawShard, Shard, StageResult
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Recording, Scores
from clean_corpus.pipeline.corpus import announcements, collection, decisions, embeddings, forget, ledger, versions
from clean_corpus.pipeline.corpus.reviewed import Reviews
from clean_corpus.pipeline.corpus.run_state import RunState
from clean_corpus.pipeline.corpus.speaker_look import SpeakerLook
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.discover import find
from clean_corpus.pipeline.discover.groups import Groups, group_recordings
from clean_corpus.pipeline.discover.recordings import Recordings
from clean_corpus.pipeline.quality import best_copy, duplicates
from clean_corpus.pipeline.quality.gate import without_unmendable
from clean_corpus.pipeline.quality.scorer import rulers
from clean_corpus.pipeline.report import listening_picks, made_of, speaker_figures
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.text import rate


@flow(
    name="clean-corpus",
    on_completion=[hooks.notify],
    on_failure=[hooks.notify],
    on_crashed=[hooks.notify],
)
def clean_corpus(config: RunConfig) -> dict[str, Any]:
    """Clean every recording below config.input into config.output; return what run.json says.

    Raises: ConfigError before any work if a setting cannot work or another run uses the output; StorageError if the
    output cannot be written.
    """
    networks = checks.check(config)
    store = checks.prepared_store(config)
    run = flow_run.get_id() or "local"
    with (
        store.only_run(),
        observe.Observer(config.observe, run=run, output=config.output) as observer,
        open_engine(config.engine) as engine,
        scratch_database() as database,
    ):
        observer.set_workers(engine.workers)
        return _Run(config, networks, store, engine, observer, database).all_stages()


def _name(raw: RawShard) -> str:
    """Return a raw shard's name in log lines: the same at every stage, it begins with the name of its group."""
    return PurePosixPath(raw.shard.key).stem


class _Run:
    """One run from discovery to report, and its state."""

    def __init__(
        self,
        config: RunConfig,
        networks: checks.Networks,
        store: Store,
        engine: Engine,
        observer: observe.Observer,
        database: sqlite3.Connection,
    ) -> None:
        self.config, self.networks, self.store, self.engine = config, networks, store, engine
        self.observer, self.console = observer, observer.console
        self.database, self.state, self.forgotten = database, RunState(database), forget.prepare(store)
        self.reviews = Reviews(decisions.load(store))
        self.speakers = SpeakerLook(database, config.speakers) if config.speakers.embed else None
        self.started = datetime.now(UTC)

    def all_stages(self) -> dict[str, Any]:
        with self.observer.timed("discover"):
            recordings = find(
                self.config.input,
                self.database,
                exclude=self.config.output,
                s3=self.config.s3,
                manifest=self.config.manifest,
                store=self.store,
            )
            groups = group_recordings(self.store, recordings, self.config.shards.max_clips, self.forgotten.hidden)
        self._ingest(groups)
        tars = self._clean(self._hold_to_pace(self._choose_copies()))
        self._check_nothing_vanished(recordings)
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder, "ledger.parquet")
            self._write_ledger(table)
            counted = ledger.summary(table)
            if self.config.enhances:
                counted["trained_on"] = training_overlap.heard_by(self.config.enhancer, table, self.config.s3)
            manifest = self._commit(table, tars, counted)
            self._report(table, manifest, counted)
        summary = self._summary(counted, manifest.version)
        self.store.fence()
        self.store.write("run.json", json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n")
        artifacts.results(summary, f"{self.config.output}/report/index.html")
        if (to := self.config.export_to) and counted["counts"]["kept"]:
            summary["export"] = exports.write_export(self.config, self.store, manifest, to, self.observer)
        return summary

    # ---- stages

    def _ingest(self, groups: Groups) -> None:
        def read(group: list[Recording]) -> group_stages.IngestedGroup:
            return group_stages.ingest_group(self.engine, self.config, group)

        stage = Stage("ingest", "groups", task_runs.ingest_groups, read, lambda group: group[0].key)
        for number, ingested in self._each(stage, enumerate(groups), len(groups)):
            self._count(ingested.stages)
            self.state.add_raw_shards(number, ingested.raw_shards)
            self.state.add_rows(None, ingested.rows)
            self.observer.count_clips(None, ingested.rows)

    def _choose_copies(self) -> best_copy.Choice:
        """Find the clips that are one recording, score them as they came, and choose the best of each."""
        with self.observer.timed("deduplicate"):
            compared = duplicates.to_compare(raw for _, raw in self.state.raw_shards())
            groups = duplicates.find_copies(compared, self.config.dedup)
            clips, numbers = best_copy.members(groups, self.state.raw_shards() if groups else ())
        choose = partial(best_copy.choose, groups, clips, gate=self.config.gate, config=self.config.dedup)
        first = choose({})  # of equal samples, one is scored

        def score(raw: RawShard) -> StageResult:
            return shard_stages.score_raw(self.engine, self.config, _name(raw), first.marked(raw))

        scores: dict[str | None, Scores] = {}
        stage = Stage("copies", "shards", task_runs.score_copies, score, _name)
        wanted = ((number, raw) for number, raw in self.state.raw_shards() if number in numbers)
        for _, result in self._each(stage, wanted, len(numbers)):
            self._count([result])
            if not isinstance(result.outcome, Exception):
                found = result.outcome.result.scores
                scored = (clip for clip in result.clips if clip.clip_id in clips and clip.clip_id in found)
                scores |= {clip.pcm_sha256: found[clip.clip_id] for clip in scored}
        return choose(scores)

    def _hold_to_pace(self, copies: best_copy.Choice) -> Callable[[RawShard], RawShard]:
        """Return what rejects clips that need no network: copies, texts as corrected that do not fit, faults."""
        marked = self.reviews.correcting(copies.marked)
        paced = rate.marker((marked(raw) for _, raw in self.state.raw_shards()), marked, self.config.gate)
        return lambda raw: without_unmendable(paced(raw), self.config)

    def _clean(self, marked: Callable[[RawShard], RawShard]) -> tuple[list[Shard], list[Shard]]:
        """Score, enhance, judge and publish all raw shards; return the tars of kept and those of rejected clips."""

        def finish(raw: RawShard) -> list[FinishedShard]:
            return shard_stages.finish_shard(self.engine, self.config, _name(raw), marked(raw), self.reviews)

        kept, rejected = list[Shard](), list[Shard]()
        variants: set[str] = set()
        stage = Stage("clean", "shards", task_runs.clean_shards, finish, _name)
        finished_shards = (
            self._each(stage, self.state.raw_shards(), self.state.n_raw_shards)
            if self.speakers is None
            else self._publish_known_speakers(marked, self.speakers)
        )
        for number, parts in finished_shards:
            for finished in parts:
                self._count(finished.stages)
                self.state.add_rows(number, finished.rows, finished.enhanced)
                self.observer.count_clips(finished.name, finished.rows)
                kept += filter(None, [finished.tars.kept])
                rejected += filter(None, [finished.tars.rejected])
                variants |= {tar.key for tar in finished.variants}
        others = [key for name in VARIANTS for key in self.store.keys(f"variants/{name}")]
        for key in announcements.while_held(self.store, sorted(set(others) - variants), clock.now_s()):
            self.store.delete(key)  # of an earlier run
        return kept, rejected

    def _publish_known_speakers(
        self, marked: Callable[[RawShard], RawShard], look: SpeakerLook
    ) -> Iterator[tuple[int, list[FinishedShard]]]:
        """Judge all raw shards, look at the voices of all, and publish them; yield each with its raw shard's number."""

        def judge(raw: RawShard) -> list[JudgedShard]:
            return shard_stages.judge_shard(self.engine, self.config, _name(raw), marked(raw))

        def publish(judged: JudgedShard) -> list[FinishedShard]:
            return shard_stages.publish_judged(self.engine, self.config, judged)

        stage = Stage("clean", "shards", task_runs.clean_shards, judge, _name)
        for number, parts in self._each(stage, self.state.raw_shards(), self.state.n_raw_shards):
            for judged in parts:
                self._count(judged.stages)
                look.add(judged.rows, judged.embeddings)
                self.state.add_judged(number, judged)
        with self.observer.timed("speakers"):
            look.settle(embeddings.known(self.store, versions.latest(self.store), look.facts))
        settled = (
            (number, replace(judged, rows=[self.reviews.overruled(look.settled(row)) for row in judged.rows]))
            for number, judged in self.state.judged()
        )
        stage = Stage("publish", "shards", task_runs.publish_shards, publish, lambda judged: judged.name)
        yield from self._each(stage, settled, self.state.n_judged)

    def _check_nothing_vanished(self, recordings: Recordings) -> None:
        missing, names = recordings.absent("row", self.forgotten.pseudonym)
        repeated = self.state.repeated_clip_ids()
        if missing or repeated:
            raise CleanCorpusError(
                f"the ledger lacks {missing} of {len(recordings)} recordings ({names}) or repeats a clip ({repeated}); "
                "this is a bug, the ledger was not written"
            )

    def _write_ledger(self, path: Path) -> None:
        with path.open("wb") as file:
            ledger.write(
                self.state.rows(),
                file,
                constants={
                    "enhancer": self.config.enhancer,
                    "weights_sha256": self.networks.weights_sha256,
                    "config_sha256": hashlib.sha256(canonical_json(self._settings())).hexdigest(),
                    "dnsmos_windows": self.config.score.dnsmos_windows,
                },
            )

    def _commit(self, table: Path, tars: tuple[list[Shard], list[Shard]], counted: dict[str, Any]) -> Manifest:
        """Publish the ledger and the tars as a version, unless the last one is the same; return its manifest."""
        digest = sha256_file(table)
        named = Shard(f"ledgers/{digest[:24]}.parquet", digest, table.stat().st_size, counted["counts"]["in"])
        with table.open("rb") as file:
            if self.store.size(named.key) != named.size:
                self.store.copy(file, named.key)
            kept, rejected = (sorted(part, key=lambda shard: shard.key) for part in tars)
            draft = Manifest(
                ledger=named,
                shards=kept,
                rejected=rejected,
                embeddings=self._put_embeddings(),
                run=self._summary(counted, None),
            )
            manifest = versions.publish(self.store, draft)
            self.store.copy(file, "ledger.parquet")
        for _ in collection.gc(self.store, self.config.keep_versions):
            pass
        return manifest

    def _report(self, table: Path, manifest: Manifest, counted: dict[str, Any]) -> None:
        """Have a worker write the report; that of a version which is there already stays."""
        facts = made_of.facts(manifest)
        with self.observer.timed("report"):
            if made_of.is_of(self.store, facts):
                return
            heard = listening_picks.picked(table) + (speaker_figures.picked(table) if self.speakers else [])
            clip_shards = self.state.clip_shards(heard)
            run = self._summary(counted, manifest.version) | {"made_of": facts}
            run["embeddings"] = manifest.embeddings and manifest.embeddings.key
            task_runs.make_report(partial(shard_stages.write_report, self.engine, self.config, run, clip_shards))

    def _put_embeddings(self) -> Shard | None:
        look = self.speakers
        return embeddings.put(self.store, look.embeddings(), look.facts) if look else None

    # ---- work in task runs, counted

    def _each(self, stage: Stage, items: Iterator[tuple[int, Any]], total: int) -> Iterator[tuple[int, Any]]:
        """Yield what a stage makes of each numbered item, in the order of completion; few at a time are in memory.

        Raises: the error that a task run ended with.
        """
        if not total:
            return
        waiting = batches(items, per_task(total, self.engine.workers))
        ends: queue.SimpleQueue[tuple[int, Any] | PrefectFuture[None]] = queue.SimpleQueue()
        running = 0
        with (
            progress.stage(self.console, stage.name, total, stage.unit) as advance,
            self.observer.stage(stage.name, total) as one_ended,
            artifacts.stage(stage.name, total, stage.unit) as show,
        ):
            while True:
                while running < self.engine.slots + AHEAD and (batch := next(waiting, None)):
                    label = calls.label(stage.label(batch[0][1]), len(batch))
                    future = stage.task.submit(label, partial(work_through, stage.function, batch, ends.put))
                    future.add_done_callback(ends.put)
                    running += 1
                if not running:
                    return
                end = ends.get()
                if isinstance(end, PrefectFuture):
                    running -= 1
                    end.result()
                    continue
                yield end
                for count in (one_ended, advance, show):
                    count()

    def _count(self, results: Sequence[StageResult]) -> None:
        for result in results:
            if isinstance(result.outcome, Exception):
                self.observer.count_failure(result.stage, result.name, result.outcome)
            else:
                self.observer.count_call(result.stage, result.name, result.clips, result.outcome)

    def _settings(self) -> dict[str, Any]:
        """Return the settings that decide over the result; locations and the number of workers do not."""
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
            **self.networks._asdict(),
            **counted,
            "stages": self.observer.stages(),
            "config": self._settings(),
            "workers": self.engine.workers,
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("clean-corpus", "torch", "onnxruntime", "prefect", "webdataset", "soundfile", "soxr")
            },
            "rulers": rulers(self.config.score.dnsmos_windows, naturalness=self.config.score.distillmos)
            | ({"voice": self.speakers.facts["ruler"]} if self.speakers else {}),
        }
