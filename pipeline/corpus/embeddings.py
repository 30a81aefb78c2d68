"""The embeddings of a version: one Parquet row for each clip whose voice is known, beside the ledger."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clean_corpus.pipeline.core.arrow_tables import column_of
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.quality import voice
from clean_corpus.pipeline.storage.base import Store

FOLDER = "embeddings"
ROWS = 2000  # of a group of the Parquet file, and in memory
FACTS = b"clean-corpus"
"""Key of the file's metadata with what decided the embeddings and the names of speakers, as JSON."""

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("source", pa.string()),
        ("speaker", pa.string()),
        ("speaker_auto", pa.string()),
        ("version", pa.string()),
        ("embedding", pa.list_(pa.float32(), voice.SIZE)),
    ]
)


@dataclass(frozen=True)
class Embedding:
    """The voice of one clip, in the version that was chosen for it; `values` are 256 numbers of 16 bits."""

    clip_id: str
    source: str
    speaker: str | None
    speaker_auto: str | None
    version: str
    values: bytes

    @property
    def voice(self) -> NDArray[np.float32]:
        """The embedding, (256,), as it was computed, rounded to 16 bits."""
        return np.frombuffer(self.values, "<f2").astype(np.float32)


def write(rows: Iterable[Embedding], file: BinaryIO, facts: dict[str, object]) -> int:
    """Write rows, in the order of clip ids, as one Parquet file; return their number.

    `facts` is what decided them. Equal rows and facts give equal bytes.
    """
    schema = SCHEMA.with_metadata({FACTS: json.dumps(facts, sort_keys=True).encode()})
    count, waiting = 0, list[Embedding]()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS:
                writer.write_table(_table(waiting, schema))
                count, waiting = count + len(waiting), []
        if waiting or not count:
            writer.write_table(_table(waiting, schema))
    return count + len(waiting)


def _table(rows: list[Embedding], schema: pa.Schema) -> pa.Table:
    values = np.concatenate([np.zeros(0, np.float32), *(row.voice for row in rows)])
    columns = [column_of([getattr(row, name) for row in rows], pa.string()) for name in schema.names[:-1]]
    flat = pa.Array.from_buffers(pa.float32(), len(values), [None, pa.py_buffer(values)])
    columns.append(pa.FixedSizeListArray.from_arrays(flat, voice.SIZE))
    return pa.Table.from_arrays(columns, schema=schema)


def put(store: Store, rows: Iterable[Embedding], facts: dict[str, object]) -> Shard:
    """Write rows into the store as one file named by its content; return it.

    Raises: StorageError if the output is full.
    """
    with ScratchFolder() as folder:
        path = Path(folder, "embeddings.parquet")
        with path.open("wb") as file:
            count = write(rows, file, facts)
        return _store_file(store, path, count)


def known(store: Store, manifest: Manifest | None, facts: dict[str, object]) -> Iterator[Embedding]:
    """Yield the rows of a version's file if the same facts decided it; none else."""
    named = manifest.embeddings if manifest else None
    if named and facts_of(store, named.key) == facts:
        yield from read(store, named.key)


def _store_file(store: Store, path: Path, rows: int) -> Shard:
    """Copy a local file of embeddings into the store under the name of its content, unless it is there; return it."""
    digest = sha256_file(path)
    named = Shard(f"{FOLDER}/{digest[:24]}.parquet", digest, path.stat().st_size, rows)
    with path.open("rb") as file:
        if store.size(named.key) != named.size:
            store.copy(file, named.key)
    return named


def read(store: Store, key: str) -> Iterator[Embedding]:
    """Yield the rows of a stored file, a few thousand in memory at a time; none if it is gone."""
    try:
        with store.opened(key) as file:
            for batch in pq.ParquetFile(file).iter_batches(ROWS):
                values = batch["embedding"].flatten().to_numpy().astype("<f2").reshape(-1, voice.SIZE)
                texts = (batch[name].to_pylist() for name in SCHEMA.names[:-1])
                for *row, vector in zip(*texts, values, strict=True):
                    yield Embedding(*row, vector.tobytes())
    except FileNotFoundError:
        return


def facts_of(store: Store, key: str) -> dict[str, object]:
    """Return what decided a stored file; nothing if it is gone."""
    try:
        with store.opened(key) as file:
            return json.loads((pq.ParquetFile(file).schema_arrow.metadata or {}).get(FACTS, b"{}"))
    except FileNotFoundError:
        return {}


def without(store: Store, named: Shard, sources: Collection[str]) -> Shard:
    """Store a file of embeddings anew without the clips of some recordings; return it, the same if it has none.

    Raises: StorageError if the output is full.
    """
    gone, kept, total = pa.array(list(sources), pa.string()), 0, 0
    with ScratchFolder() as folder:
        path = Path(folder, "embeddings.parquet")
        with store.opened(named.key) as file:
            parquet = pq.ParquetFile(file)
            with pq.ParquetWriter(path, parquet.schema_arrow, compression="zstd") as writer:
                for batch in parquet.iter_batches(ROWS):
                    left = batch.filter(pc.invert(pc.is_in(batch["source"], value_set=gone)))
                    writer.write_batch(left)
                    kept, total = kept + len(left), total + len(batch)
        return named if kept == total else _store_file(store, path, kept)
