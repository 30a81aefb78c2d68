"""A version of a corpus without what is forgotten: its ledger, and those of its tars that held some of it."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.hashing import content_name, sha256_file
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.core.types import Recording, Verdict
from clean_corpus.pipeline.corpus import embeddings, ledger, shards
from clean_corpus.pipeline.corpus.forgotten import Forgotten, Request
from clean_corpus.pipeline.corpus.known_clips import clips_of_ledger
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage.base import Store

ORDER = [("source", "ascending"), ("offset_s", "ascending"), ("clip_id", "ascending")]
_TELLTALE = (Reason.MALFORMED_MANIFEST, Reason.NOT_FOUND, Reason.KEY_TAKEN)
"""Reasons whose detail may name another recording."""


class Without:
    """What is left of versions without what is forgotten; a tar that several versions name is rewritten once."""

    def __init__(self, store: Store, forgotten: Forgotten) -> None:
        self._store, self._forgotten = store, forgotten
        self._rewritten: dict[tuple[str, frozenset[str]], Shard | None] = {}

    def __call__(self, manifest: Manifest) -> Manifest:
        """Return a draft of the version: a forgotten recording is one row without audio and text, its clips are gone.

        A version that holds none of them is returned as it is.
        Raises: DataError if a tar is not what was written; StorageError if the output is full.
        """
        gone: dict[str, Request] = {}
        removed: dict[str, set[str]] = {}
        for clip in clips_of_ledger(self._store, manifest.ledger.key):
            request = self._forgotten.request_of(clip.source, clip.sha256, clip.speaker, clip.clip_id)
            if request is not None:
                gone[clip.source] = request
                if clip.shard:
                    removed.setdefault(clip.shard, set()).add(clip.clip_id)
        if not gone:
            return manifest
        moved = {
            shard.key: self._tar_without(shard, frozenset(removed[shard.key]))
            for shard in (*manifest.shards, *manifest.rejected)
            if shard.key in removed
        }
        with ScratchFolder() as folder:
            table = Path(folder, "ledger.parquet")
            self._write_ledger(manifest, gone, moved, table)
            counted = _counted(table, manifest.run)
            named = self._put_ledger(table)
        kept, rejected = (
            [tar for shard in tars if (tar := moved.get(shard.key, shard))]
            for tars in (manifest.shards, manifest.rejected)
        )
        update = {"ledger": named, "shards": sorted(kept, key=lambda s: s.key), "run": manifest.run | counted}
        if manifest.embeddings:
            update["embeddings"] = embeddings.without(self._store, manifest.embeddings, gone)
        return manifest.model_copy(update=update | {"rejected": sorted(rejected, key=lambda s: s.key)})

    # ---- tars

    def _tar_without(self, shard: Shard, clip_ids: frozenset[str]) -> Shard | None:
        """Write a tar's other clips under a name of their own; None if there are none."""
        if (shard.key, clip_ids) not in self._rewritten:
            self._rewritten[shard.key, clip_ids] = tar_without(self._store, shard, clip_ids)
        return self._rewritten[shard.key, clip_ids]

    # ---- the ledger

    def _write_ledger(
        self, manifest: Manifest, gone: dict[str, Request], moved: dict[str, Shard | None], path: Path
    ) -> None:
        with self._store.opened(manifest.ledger.key) as file:
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            order = [part for part in ORDER if part[0] in schema.names]
            waiting: pa.Table | None = None
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in parquet.iter_batches(ledger.ROWS_PER_GROUP):
                    table = self._scrubbed(pa.Table.from_batches([batch]), gone, moved)
                    if waiting is None:
                        waiting = self._rows_of(gone, batch, schema).sort_by(order)
                    due = _up_to(waiting, table, order)
                    writer.write_table(pa.concat_tables([table, waiting.slice(0, due)]).sort_by(order))
                    waiting = waiting.slice(due)
                if waiting is not None and len(waiting):
                    writer.write_table(waiting)

    def _scrubbed(self, table: pa.Table, gone: dict[str, Request], moved: dict[str, Shard | None]) -> pa.Table:
        """Return rows without those of forgotten recordings, tars by their new names, no detail that names one."""
        names = table.column_names
        source = table["source" if "source" in names else "clip_id"]
        table = table.filter(pc.invert(pc.is_in(source, value_set=pa.array(list(gone), source.type))))
        if "shard" in names and moved:
            tars = [tar.key if (tar := moved.get(key)) else key for key in table["shard"].to_pylist()]
            table = table.set_column(names.index("shard"), table.schema.field("shard"), pa.array(tars, pa.string()))
        if {"reason", "detail"} <= set(names):
            rows = zip(table["reason"].to_pylist(), table["detail"].to_pylist(), strict=True)
            details = [_silent(detail, gone) if reason in _TELLTALE else detail for reason, detail in rows]
            field = table.schema.field("detail")
            table = table.set_column(names.index("detail"), field, pa.array(details, pa.string()))
        return table

    def _rows_of(self, gone: dict[str, Request], batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
        """Return the rows of forgotten recordings, as the next run writes them if they still lie in its input."""
        constants = {name: batch[name][0].as_py() for name in ledger.CONSTANTS if name in schema.names}
        rows = []
        for source, request in gone.items():
            name = self._forgotten.pseudonym(source)
            row = constants | {"clip_id": Recording(name, name, 0, None).key, "source": name}
            row |= {"offset_s": 0.0, "duration_s": 0.0, "verdict": Verdict.REJECTED.value}
            rows.append(row | {"reason": Reason.FORGOTTEN.value, "detail": request.words})
        return pa.Table.from_pylist(rows, schema)

    def _put_ledger(self, table: Path) -> Shard:
        digest, rows = sha256_file(table), pq.read_metadata(table).num_rows
        named = Shard(f"ledgers/{digest[:24]}.parquet", digest, table.stat().st_size, rows)
        with table.open("rb") as file:
            if self._store.size(named.key) != named.size:
                self._store.copy(file, named.key)
        return named


def tar_without(store: Store, shard: Shard, clip_ids: frozenset[str]) -> Shard | None:
    """Write a tar's other clips beside it under a name of their own; None if there are none.

    Raises: DataError if the tar is not what was written.
    """
    folder = shard.key.rpartition("/")[0]
    key = f"{folder}/{content_name('forgotten', shard.sha256, sorted(clip_ids))}.tar"
    return shards.write_shard(store, key, _others(store, shard, clip_ids))


def _others(store: Store, shard: Shard, clip_ids: frozenset[str]) -> Iterator[shards.Sample]:
    for sample in shards.read_shard(store, shard):
        if sample["__key__"] not in clip_ids:
            yield {name: value for name, value in sample.items() if name == "__key__" or not name.startswith("__")}


def _up_to(waiting: pa.Table, table: pa.Table, order: list[tuple[str, str]]) -> int:
    """Return how many of the waiting rows, which are in order, come before the last row of a table."""
    if not len(table):
        return 0
    names = [name for name, _ in order]
    last = tuple(table[name][-1].as_py() for name in names)
    return sum(row <= last for row in zip(*(waiting[name].to_pylist() for name in names), strict=True))


def _silent(detail: str | None, gone: dict[str, Request]) -> str | None:
    """Return a detail, or words in its place if it names a forgotten recording."""
    if detail and any(source in detail or source.rpartition("/")[2] in detail for source in gone):
        return f"{detail.partition(':')[0]}: it named a recording that is forgotten"
    return detail


def _counted(table: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of its ledger, counted anew; of the ledger of an older release what it has."""
    try:
        return json.loads(json.dumps(ledger.summary(table)))
    except duckdb.Error:
        (rows,) = ledger.query(table, "SELECT count(*) n FROM ledger")
        found = ledger.query(table, "SELECT verdict, count(*) n FROM ledger GROUP BY ALL")
        ends = {end.value: 0 for end in Verdict} | {str(row["verdict"]): row["n"] for row in found}
        return {"counts": {"in": rows["n"], **ends}}


def digest_of(store: Store, key: str) -> Shard | None:
    """Return an object as a manifest would name it, but for the number of its samples; None if it is absent."""
    try:
        with store.opened(key) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Shard(key, digest, file.tell(), 0)
    except FileNotFoundError:
        return None
