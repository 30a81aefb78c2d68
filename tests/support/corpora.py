"""Committed versions of a tiny corpus, through the functions that publish one: tones with texts and speakers."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.records import Ending, RawShard, Shard
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus import ledger, shards, versions
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.publish import publish_shard
from clean_corpus.pipeline.corpus.versions import Manifest

KEPT = Decision(Verdict.KEPT, chosen="raw")
LOW = Decision(Verdict.REJECTED, "snr_db", "snr_db 3 < 15", "raw")


@dataclass(frozen=True)
class Spoken:
    """A clip of the corpus: a tone of its own, as long as is said."""

    name: str
    text: str | None = "words"
    speaker: str | None = "anna"
    duration_s: float = 1.25
    licence: str | None = "CC0"
    consent: str | None = None
    language: str | None = None
    kept: bool = True


def tone(name: str, duration_s: float, sample_rate: int) -> np.ndarray:
    freq_hz = 200 + sum(name.encode()) % 600
    return (0.2 * np.sin(2 * np.pi * freq_hz * np.arange(round(duration_s * sample_rate)) / sample_rate)).astype("f4")


def commit(store, groups: list[list[Spoken]], *, sample_rate: int = 24000) -> Manifest:
    """Publish the clips of each group as a tar, and all of them as the next version."""
    config = PipelineConfig(audio={"sample_rate": sample_rate})
    kept, rejected, rows = [], [], []
    for group in groups:
        endings = [_ending(spoken) for spoken in group]
        raw = _raw_shard(store, group, [ending.clip for ending in endings], sample_rate)
        tars = publish_shard(store, raw, None, endings, config).result
        kept += filter(None, [tars.kept])
        rejected += filter(None, [tars.rejected])
        rows += [_row(ending, tars) for ending in endings]
    rows.sort(key=lambda row: (row.clip.source, row.clip.offset_s, row.clip.clip_id))
    counts = {"in": len(rows), "kept": sum(s.kept for group in groups for s in group), "failed": 0}
    run = {
        "counts": counts | {"rejected": counts["in"] - counts["kept"]},
        "seconds": {"kept": 1.0},
        "enhancer": "none",
        "weights_sha256": "0" * 64,
        "config": config.model_dump(mode="json"),
        "rulers": {"snr_db": "1"},
    }
    return versions.publish(store, Manifest(ledger=_ledger(store, rows), shards=kept, rejected=rejected, run=run))


def _ending(spoken: Spoken) -> Ending:
    metadata = Metadata(spoken.text, spoken.speaker, spoken.licence, spoken.consent, spoken.language)
    source = "manifest" if spoken.text else None
    clip = Clip(
        spoken.name, f"{spoken.name}.wav", "0" * 64, 0.0, spoken.duration_s, metadata=metadata, text_source=source
    )
    return Ending(clip, KEPT if spoken.kept else LOW, {}, {})


def _raw_shard(store, group: list[Spoken], clips: list[Clip], sample_rate: int) -> RawShard:
    samples = (
        {"__key__": s.name, "flac": shards.encode_clip(tone(s.name, s.duration_s, sample_rate), sample_rate, bits=24)}
        for s in group
    )
    return RawShard(shards.write_shard(store, f"work/raw/{group[0].name}.tar", samples), clips, [""] * len(clips))


def _row(ending: Ending, tars) -> Row:
    is_kept = ending.decision.verdict is Verdict.KEPT
    gain_db = tars.gain_db.get(ending.clip.clip_id)
    return Row(ending.clip, ending.decision, {}, {}, gain_db=gain_db, shard=tars.kept.key if is_kept else None)


def _ledger(store, rows: list[Row]) -> Shard:
    buffer = io.BytesIO()
    ledger.write(rows, buffer, constants={name: "x" for name in ledger.CONSTANTS})

    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    store.write(f"ledgers/{digest[:24]}.parquet", data)
    return Shard(f"ledgers/{digest[:24]}.parquet", digest, len(data), len(rows))
