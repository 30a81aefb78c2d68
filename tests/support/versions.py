"""Versions of a corpus whose clips are known: drafts with one tar and a ledger."""

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.corpus.versions import Manifest


def row(clip, verdict="kept", **more):
    """The columns of a clip in the ledger that versions are compared by."""
    known = {"clip_id": clip, "verdict": verdict, "reason": None, "chosen": "enhanced", "source_sha256": "s"}
    return known | {"weights_sha256": "w", "gain_db": 0.0, "shard": None} | more


def tar_key(*clips):
    """The key of the tar of these kept clips, of the kind that a run gives."""
    return f"shards/{content_name(*clips)}.tar"


def draft(store, *rows):
    """A version whose kept clips are in one tar, each an hour long."""
    kept = [r["clip_id"] for r in rows if r["verdict"] == "kept"]
    tar = write_shard(store, tar_key(*kept), [{"__key__": c, "flac": c.encode()} for c in kept])
    buffer = io.BytesIO()
    columns = {name for known in (row(""), *rows) for name in known}
    schema = pa.schema([(k, pa.float64() if k.endswith(("_db", "_s")) else pa.string()) for k in sorted(columns)])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    ledger = Shard(f"ledgers/{digest[:24]}.parquet", digest, len(data), len(rows))
    store.write(ledger.key, data)
    counts = {"in": len(rows), "kept": len(kept), "rejected": len(rows) - len(kept), "failed": 0}
    run = {"counts": counts, "seconds": {"kept": 3600.0 * len(kept)}, "enhancer": "crn"}
    return Manifest(ledger=ledger, shards=[tar], rejected=[], run=run)
