"""One run of the corpus side, from discovery to report: what is done in which order, and what is kept of it.

How its stages are worked through is not its business: in task runs of a Prefect flow, or by what is recorded alone.
"""

import hashlib
import importlib.metadata
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from clean_corpus.flows import checks, exports, group_stages, shard_stages, training_overlap
from clean_corpus.flows.config import ELSEWHERE, RunConfig
from clean_corpus.flows.engines.base import Engine
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.flows.shard_work import VARIANTS, FinishedShard, JudgedShard
from clean_corpus.flows.stages import Stage, Work
from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.hashing import canonical_json, sha256_file
from clean_corpus.pipeline.core.records import RawShard, Shard, StageResult
from clean_corpus.pipeline.core.types import Recording, Scores
from clean_corpus.pipeline.corpus import announcements, collection, decisions, embeddings, forget, ledger, versions
from clean_corpus.pipeline.corpus.own_files import is_named_by_content
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

PACKAGES = ("clean-corpus", "torch", "onnxruntime", "prefect", "webdataset", "soundfile", "soxr")
"""Packages whose versions run.json names."""


def settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that decide over the result; locations and the number of workers do not."""
    return config.model_dump(mode="json", exclude=set(ELSEWHERE))


def program_versions() -> dict[str, str]:
    """Return the installed versions of what run.json names."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _name(raw: RawShard) -> str:
    """Return a raw shard's name in log lines: the same at every stage, it begins with the name of its group."""
    return PurePosixPath(raw.shard.key).stem


class CorpusRun:
    """One run from discovery to report, and its state."""

    def __init__(
        self,
        config: RunConfig,
        networks: checks.Networks,
        store: Store,
        engine: Engine,
        observer: Observer,
        database: sqlite3.Connection,
        work: Work,
    ) -> None:
        self.config, self.networks, self.store, self.engine = config, networks, store, engine
        self.observer, self.work = observer, work
        self.database, self.state, self.forgotten = database, RunState(database), forget.prepare(store)
        self.reviews = Reviews(decisions.load(store))
        self.speakers = SpeakerLook(database, config.speakers) if config.speakers.embed else None
        self.started = datetime.now(UTC)

    def all_stages(self) -> dict[str, Any]:
        """Take all recordings from discovery to a committed version and its report; return what run.json says."""
        checks.warn_of_other_input(self.config, versions.latest(self.store))
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
        self.work.begin(groups)
        self._ingest(groups)
        tars = self._clean(self._hold_to_pace(self._choose_copies()))
        self._check_nothing_vanished(recordings)
        with ScratchFolder() as folder:
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
        self.work.show(summary, f"{self.config.output}/report/index.html")
        if (to := self.config.export_to) and counted["counts"]["kept"]:
            export = partial(exports.write_export, self.config, self.store, manifest, to, self.observer)
            with self.observer.timed("export"):
                summary["export"] = self.work.once("export", export)
        return summary

    # ---- stages

    def _ingest(self, groups: Groups) -> None:
        def read(parts: list[list[Recording]]) -> group_stages.IngestedGroup:
            return group_stages.ingest_group(self.engine, self.config, parts)

        stage = Stage("ingest", "groups", read, lambda parts: parts[0][0].key)
        for number, ingested in self.work.each(stage, enumerate(groups), len(groups)):
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
        stage = Stage("copies", "shards", score, _name)
        wanted = ((number, raw) for number, raw in self.state.raw_shards() if number in numbers)
        for _, result in self.work.each(stage, wanted, len(numbers)):
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
        stage = Stage("clean", "shards", finish, _name)
        finished_shards = (
            self.work.each(stage, self.state.longest_first(), self.state.n_raw_shards)
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
        present = [key for name in VARIANTS for key in self.store.keys(f"variants/{name}")]
        others = filter(is_named_by_content, present)
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

        stage = Stage("clean", "shards", judge, _name)
        for number, parts in self.work.each(stage, self.state.longest_first(), self.state.n_raw_shards):
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
        stage = Stage("publish", "shards", publish, lambda judged: judged.name)
        yield from self.work.each(stage, settled, self.state.n_judged)

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
                    "config_sha256": hashlib.sha256(canonical_json(settings(self.config))).hexdigest(),
                    "dnsmos_windows": self.config.score.dnsmos_windows,
                },
            )

    def _commit(self, table: Path, tars: tuple[list[Shard], list[Shard]], counted: dict[str, Any]) -> Manifest:
        """Publish the ledger and the tars as a version, unless the last one is the same; return its manifest."""
        digest = sha256_file(table)
        named = Shard(f"ledgers/{digest[:24]}.parquet", digest, table.stat().st_size, counted["counts"]["in"])
        kept, rejected = (sorted(part, key=lambda shard: shard.key) for part in tars)
        draft = Manifest(
            ledger=named,
            shards=kept,
            rejected=rejected,
            embeddings=self._put_embeddings(),
            run=self._summary(counted, None),
        )
        self.work.before_commit(draft)
        with table.open("rb") as file:
            if self.store.size(named.key) != named.size:
                self.store.copy(file, named.key)
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
            self.work.once("report", partial(shard_stages.write_report, self.engine, self.config, run, clip_shards))

    def _put_embeddings(self) -> Shard | None:
        look = self.speakers
        return embeddings.put(self.store, look.embeddings(), look.facts) if look else None

    # ---- what run.json says

    def _count(self, results: Sequence[StageResult]) -> None:
        for result in results:
            if isinstance(result.outcome, Exception):
                self.observer.count_failure(result.stage, result.name, result.outcome)
            else:
                self.observer.count_call(result.stage, result.name, result.clips, result.outcome)

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
            "config": settings(self.config),
            "workers": self.engine.workers,
            "versions": program_versions(),
            "rulers": rulers(self.config.score.dnsmos_windows, naturalness=self.config.score.distillmos)
            | ({"voice": self.speakers.facts["ruler"]} if self.speakers else {}),
        }
