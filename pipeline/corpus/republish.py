"""A version with people's decisions applied: made of the newest one and of what its run left in work/.

Nothing is enhanced or scored again. Tars are written by the stage that writes them in a run, so that the next run over
the same recordings finds them, and comes to the same version.
"""

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.records import Ending, RawShard, Shard
from clean_corpus.pipeline.core.types import Verdict
from clean_corpus.pipeline.corpus import decisions, ledger, reviewed, versions
from clean_corpus.pipeline.corpus.decisions import Decided, Review
from clean_corpus.pipeline.corpus.forget_version import digest_of
from clean_corpus.pipeline.corpus.publish import publish_shard
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.quality.scorer import SCORES
from clean_corpus.pipeline.storage.base import Store

Rows = dict[str, dict[str, Any]]
"""Clip id -> row of the ledger."""


@dataclass(frozen=True)
class Change:
    """A clip whose row a decision changes: its row as it is, as it will be, and what was decided; None: taken back."""

    old: dict[str, Any]
    new: dict[str, Any]
    review: Review | None

    @property
    def effect_s(self) -> float:
        """Seconds that the change adds to what is kept."""
        kept = [row["verdict"] == Verdict.KEPT for row in (self.old, self.new)]
        return self.old["duration_s"] * (kept[1] - kept[0])


@dataclass(frozen=True)
class Pending:
    """What decisions come to over a ledger.

    `changes` are what it lacks, in its order; `barred` are clips that somebody wants and nobody can keep, with why;
    `absent` is an entry for each clip that it does not have.
    """

    changes: list[Change]
    barred: list[tuple[str, str]]
    absent: list[decisions.Entry]


@dataclass(frozen=True)
class Republished:
    """A version that was made of decisions, those that it applied, and those that what lies in work/ did not allow."""

    manifest: Manifest
    applied: list[Change]
    left: list[Change]


def pending(table: Path, decided: Decided) -> Pending:
    """Return what decisions change in a ledger.

    Raises: ConfigError if an earlier release wrote the ledger, which does not say where clips lie.
    """
    names = pq.read_schema(table).names
    if missing := [name for name in ("raw_shard", *ledger.REVIEW) if name not in names]:
        raise ConfigError(
            f"the newest version's ledger has no column {missing[0]}: an earlier release wrote it; run once more"
        )
    with ledger.opened(table) as connection:
        contents = pa.table({"sha256": pa.array(decided.contents(), pa.string())})
        connection.register("contents", contents)
        found = connection.sql(
            """SELECT * FROM ledger WHERE source_sha256 IN (SELECT sha256 FROM contents) OR reviewed_at IS NOT NULL
               ORDER BY source, offset_s, clip_id"""
        ).to_arrow_table()
    return pending_of(found.to_pylist(), decided)


def pending_of(rows: Iterable[dict[str, Any]], decided: Decided) -> Pending:
    """Return what decisions change in some rows of a ledger; `absent` are those over no clip of these."""
    changes, barred, seen = [], [], set()
    for row in rows:
        entries = decided.entries_of(*place_of(row))
        seen.update(entry.id for entry in entries)
        review = decisions.folded(entries)
        new = reviewed.redecided(row, review)
        if reviewed.differs(row, new):
            changes.append(Change(row, new, review))
        if review and review.verdict == "keep" and (why := _bar(row)):
            barred.append((row["clip_id"], why))
    return Pending(changes, barred, [entry for entry in decided.last_entries() if entry.id not in seen])


def place_of(row: Mapping[str, Any]) -> tuple[str | None, float, float]:
    """Return what tells the clip of a row by content: its recording's hash, and where it begins and ends, seconds."""
    end_s = row["offset_s"] + row["duration_s"] + (row["removed_s"] or 0.0)
    return row["source_sha256"], row["offset_s"], end_s


def _bar(row: dict[str, Any]) -> str | None:
    """Return why nobody can keep the clip of a row, None if a person can."""
    why = reviewed.bar(reviewed.gate_decision(row))
    return why or (f"it has no audio: {row['detail']}" if row["raw_shard"] is None else None)


def republish(store: Store, decided: Decided) -> Republished:
    """Commit a version with all decisions applied, as the only run on this output.

    Clips whose tars in work/ are gone stay as they are. Report and run.json are still those of the version before, and
    the caller's to write: where a process died before that, nothing but them is left to do, and nothing is applied.
    Raises: ConfigError if there is no version or nothing to apply; CleanCorpusError if nothing of it can be applied;
    StorageError if another run has taken over, or the output cannot be written.
    """
    newest = versions.latest(store)
    if newest is None:
        raise ConfigError(f"OUTPUT {store.root}: there is no version; `clean-corpus run` makes one")
    with ScratchFolder() as folder:
        table = Path(folder, "ledger.parquet")
        with store.opened(newest.ledger.key) as file, table.open("wb") as copy:
            while block := file.read(2**20):
                copy.write(block)
        changes = pending(table, decided).changes
        if not changes:
            if told(store) == newest.version:
                raise ConfigError(f"OUTPUT {store.root}: version {newest.version} has all decisions already")
            with table.open("rb") as file:
                store.copy(file, "ledger.parquet")
            return Republished(newest, [], [])
        applied, left, rows, moved = _publish_shards(store, newest, table, changes)
        if not applied:
            clip_id = left[0].old["clip_id"]
            raise CleanCorpusError(
                f"OUTPUT {store.root}: what the run left of {len(left)} clips in work/ is gone, {clip_id} "
                "for one; `clean-corpus run` on the same INPUT makes it anew, and applies the decisions"
            )
        fresh = Path(folder, "fresh.parquet")
        _write_ledger(table, fresh, rows)
        manifest = _commit(store, newest, fresh, moved)
    decisions.put_together(store)
    return Republished(manifest, applied, left)


# ---- tars ------------------------------------------------------------------------------------------------------


def _publish_shards(
    store: Store, newest: Manifest, table: Path, changes: Sequence[Change]
) -> tuple[list[Change], list[Change], Rows, tuple[set[str], list[Shard], list[Shard]]]:
    """Write the tars of all raw shards with changes; return what was applied and left, new rows, and what to replace.

    The last holds the keys of the tars that are replaced, and the tars of kept and of rejected clips in their place.
    """
    config = _config(newest)
    tars = {shard.key: shard for shard in (*newest.shards, *newest.rejected)}
    by_shard: dict[str, list[Change]] = {}
    for change in changes:
        by_shard.setdefault(change.old["raw_shard"], []).append(change)
    applied, left, rows = [], [], Rows()
    gone: set[str] = set()
    kept: list[Shard] = []
    rejected: list[Shard] = []
    for key, some in by_shard.items():
        whole = {row["clip_id"]: row for row in _rows_of(table, key)}
        raw, enhanced = _work_tars(store, key, whole)
        if raw is None:
            left += some
            continue
        after = whole | {change.old["clip_id"]: change.new for change in some}
        old_tars = {row["shard"] for row in whole.values() if row["shard"]}
        endings = _endings(store, raw, after, [tars[name] for name in sorted(old_tars) if name in tars])
        published = publish_shard(store, RawShard(raw, [], []), enhanced, endings, config).result
        of = {Verdict.KEPT: published.kept, Verdict.REJECTED: published.rejected}
        for clip_id, row in after.items():
            tar = of.get(row["verdict"])
            rows[clip_id] = row | {"gain_db": published.gain_db.get(clip_id), "shard": tar.key if tar else None}
        gone |= old_tars
        kept += filter(None, [published.kept])
        rejected += filter(None, [published.rejected])
        applied += some
    return applied, left, rows, (gone, kept, rejected)


def _config(manifest: Manifest) -> PipelineConfig:
    said = manifest.run["config"]
    return PipelineConfig.model_validate({name: said[name] for name in PipelineConfig.model_fields if name in said})


def _rows_of(table: Path, raw_shard: str) -> list[dict[str, Any]]:
    with ledger.opened(table) as connection:
        found = connection.sql("SELECT * FROM ledger WHERE raw_shard = ?", params=[raw_shard])
        return found.to_arrow_table().to_pylist()


def _work_tars(store: Store, key: str, rows: Rows) -> tuple[Shard | None, Shard | None]:
    """Return the raw tar and the enhanced one, if any, in which clips lie; nothing if one that they need is gone."""
    enhanced = sorted({row["enhanced_shard"] for row in rows.values() if row["enhanced_shard"]})
    found = [digest_of(store, name) for name in (key, *enhanced)]
    if len(enhanced) > 1 or None in found:
        return None, None
    return found[0], found[1] if enhanced else None


def _endings(store: Store, raw: Shard, rows: Rows, tars: Sequence[Shard]) -> list[Ending]:
    """Return the ends of a raw shard's clips in its order, with the scores that the tars before say of them."""
    said = {clip_id: facts for tar in tars for clip_id, facts in _facts(store, tar)}
    endings = []
    for clip_id in _clip_ids(store, raw):
        if (row := rows.get(clip_id)) is None:
            continue
        before, after = _scores(row, said.get(clip_id))
        decision = reviewed.gate_decision({**row, "gate_verdict": None})
        endings.append(Ending(reviewed.clip_of(row), decision, before, after, row["speaker_auto"]))
    return endings


def _scores(row: dict[str, Any], facts: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    if facts is None:
        before, after = (
            {name: value for name in SCORES if (value := row[f"{when}_{name}"]) is not None}
            for when in ("before", "after")
        )
        return before, after
    if facts["version"] == "raw":
        return facts["scores"], facts["scores_enhanced"]
    return facts["scores_raw"], facts["scores"]


def _facts(store: Store, tar: Shard) -> Iterator[tuple[str, dict[str, Any]]]:
    with store.opened(tar.key) as file, tarfile.open(fileobj=file) as members:
        for member in members:
            clip_id, _, extension = member.name.partition(".")
            if extension == "json" and (content := members.extractfile(member)):
                yield clip_id, json.load(content)


def _clip_ids(store: Store, tar: Shard) -> list[str]:
    with store.opened(tar.key) as file, tarfile.open(fileobj=file) as members:
        return [member.name.partition(".")[0] for member in members if member.name.endswith(".flac")]


# ---- the version -----------------------------------------------------------------------------------------------


def _write_ledger(old: Path, new: Path, rows: Rows) -> None:
    parquet = pq.ParquetFile(old)
    schema = parquet.schema_arrow
    with pq.ParquetWriter(new, schema, compression="zstd") as writer:
        for batch in parquet.iter_batches(ledger.ROWS_PER_GROUP):
            clip_ids = batch["clip_id"].to_pylist()
            if rows.keys().isdisjoint(clip_ids):
                writer.write_batch(batch)
                continue
            records = [rows.get(record["clip_id"], record) for record in batch.to_pylist()]
            writer.write_table(pa.Table.from_pylist(records, schema))
        if not parquet.metadata.num_rows:
            writer.write_table(schema.empty_table())


def _commit(store: Store, newest: Manifest, table: Path, moved: tuple[set[str], list[Shard], list[Shard]]) -> Manifest:
    gone, kept, rejected = moved
    digest, n_rows = sha256_file(table), pq.read_metadata(table).num_rows
    named = Shard(f"ledgers/{digest[:24]}.parquet", digest, table.stat().st_size, n_rows)
    counted = json.loads(json.dumps(ledger.summary(table)))
    shards, refused = (
        sorted([shard for shard in before if shard.key not in gone] + fresh, key=lambda shard: shard.key)
        for before, fresh in ((newest.shards, kept), (newest.rejected, rejected))
    )
    update = {"again": None, "rewrites": None, "follow": 0, "run": newest.run | counted | {"version": None}}
    draft = newest.model_copy(update=update | {"ledger": named, "shards": shards, "rejected": refused})
    with table.open("rb") as file:
        if store.size(named.key) != named.size:
            store.copy(file, named.key)
        manifest = versions.publish(store, draft)
        store.copy(file, "ledger.parquet")
    return manifest


def write_facts(store: Store, manifest: Manifest) -> None:
    """Write run.json of a version, the last thing of publishing it.

    Raises: StorageError if another run has taken over, or the output is full.
    """
    facts = manifest.run | {"version": manifest.version}
    store.fence()
    store.write("run.json", json.dumps(facts, indent=2, sort_keys=True).encode() + b"\n")


def told(store: Store) -> int | None:
    """Return the version that run.json is of, None if there is none."""
    return json.loads(store.read("run.json")).get("version") if store.size("run.json") is not None else None
