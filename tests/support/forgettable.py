"""A small corpus of known recordings, with all that a run leaves of them: cache, tars, variants, ledger, report."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import Ending, Enhanced, Ingested, RawShard, Scored, Shard
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Recording, Verdict
from clean_corpus.pipeline.corpus import ledger, publish, shards, stage_cache, versions
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.quality.gate import settled
from clean_corpus.pipeline.quality.scorer import SCORES
from clean_corpus.pipeline.text.rate import with_rate
from tests.support.ledgers import GOOD, run_of

RATE = 16000
CONSTANTS = {"enhancer": "crn", "weights_sha256": "w", "config_sha256": "c", "dnsmos_windows": "whole"}


@dataclass(frozen=True)
class Take:
    """A recording; `content` stands for its bytes, `copy_of` is the source of one that is kept in its place."""

    source: str
    speaker: str | None = None
    clips: int = 1
    end: str = "kept"
    content: str | None = None
    copy_of: str | None = None
    snr_db: float | None = None  # with all other scores as of a good clip; None: each score is 3

    @property
    def scores(self):
        if self.snr_db is None:
            return dict.fromkeys(SCORES, 3.0)
        return dict.fromkeys(SCORES, 3.0) | GOOD | {"snr_db": self.snr_db}

    @property
    def sha256(self):
        return (self.content or self.source).encode().hex().ljust(64, "0")[:64]

    def clip_ids(self):
        key = Recording(self.source, self.source, 0, None).key
        return [key] if self.clips == 1 else [f"{key}-{n:05d}" for n in range(self.clips)]


def write_corpus(store, *groups, extra=True, reviews=None):
    """Publish a version of groups of takes, as a run does; `extra`: with variants, report, export and more.

    With `reviews`, which it honours, the ledger says where clips lie in work/; the names of these tars tell sources.
    """
    config = PipelineConfig()
    rows, kept, rejected = [], [], []
    for group in groups:
        raw, endings, failed = _ingested(store, group)
        if raw:
            ids = [clip.clip_id for clip in raw.clips]
            enhanced = _tar(store, f"work/enhanced/{raw.shard.sha256[:24]}.tar", ids, 24)
            stage_cache.record(
                store, "enhance", enhanced.sha256[:24], Enhanced, Enhanced(enhanced, {}, dict.fromkeys(ids, 9.0))
            )
            stage_cache.record(store, "score", raw.shard.sha256[:24], Scored, Scored({i: {} for i in ids}, {}))
            honoured = reviews or NO_REVIEWS
            clips = honoured.corrected(raw).clips
            of_run = [
                honoured.overruled(Row(clip, e.decision, e.before, e.after))
                for clip, e in zip(clips, endings, strict=True)
            ]
            endings = [Ending(row.clip, row.decision, row.before, row.after) for row in of_run]
            tars = publish.publish_shard(store, raw, enhanced, endings, config).result
            if extra:
                publish.variant_shard(store, raw, enhanced, endings, "raw", config)
            kept += filter(None, [tars.kept])
            rejected += filter(None, [tars.rejected])
            of = {"kept": tars.kept, "rejected": tars.rejected, "failed": None}
            for row in of_run:
                tar = of[row.decision.verdict.value]
                row = replace(row, gain_db=tars.gain_db.get(row.clip.clip_id), shard=tar and tar.key)
                lying = {"raw_shard": raw.shard.key, "enhanced_shard": enhanced.key} if reviews else {}
                rows.append(replace(row, **lying))
        rows += [Row(clip, settled(clip), {}, {}) for clip in failed]
    rows.sort(key=lambda row: (row.clip.source, row.clip.offset_s, row.clip.clip_id))
    manifest = versions.publish(store, _draft(store, rows, kept, rejected))
    if extra:
        _write_rest(store, manifest, groups)
    return manifest


def _ingested(store, group):
    """The raw shard of a group, its record in the stage cache, and how its clips end."""
    clips, endings, failed = [], [], []
    for take in group:
        for n, clip_id in enumerate(take.clip_ids()):
            metadata = Metadata(text=f"words of {take.source} {n}", speaker=take.speaker)
            clip = with_rate(Clip(clip_id, take.source, take.sha256, float(n), 0.5, metadata=metadata, speech_s=0.4))
            if take.end == "failed":
                failed.append(Clip(clip_id, take.source, None, metadata=metadata, error=f"not audio: {take.source}"))
                continue
            if take.end == "silent":
                failed.append(Clip(clip_id, take.source, take.sha256, reject=(Reason.NO_SPEECH, "speech_s 0 < 0.3")))
                continue
            decision = Decision(Verdict.KEPT, chosen="enhanced")
            if take.copy_of:
                kept = Recording(take.copy_of, take.copy_of, 0, None).key
                decision = Decision(Verdict.REJECTED, Reason.NEAR_DUPLICATE, f"of {kept}: bit error 0.1 <= 0.2; alike")
            elif take.end == "rejected":
                decision = Decision(Verdict.REJECTED, Reason.SNR_DB, "snr_db 3 < 10", "enhanced")
            scores = take.scores
            clips.append(clip)
            endings.append(Ending(clip, decision, scores, scores))
    name = "-".join(sorted({take.source.replace("/", "_") for take in group}))
    if not clips:
        stage_cache.record(store, "ingest", name, Ingested, Ingested([], failed))
        return None, [], failed
    raw = RawShard(
        _tar(store, f"work/raw/{name}-000.tar", [c.clip_id for c in clips], 24),
        clips,
        ["AAAA"] * len(clips),
    )
    stage_cache.record(store, "ingest", name, Ingested, Ingested([raw], failed))
    return raw, endings, failed


def _tar(store, key, clip_ids, bits) -> Shard:
    def audio(clip_id):
        return np.random.default_rng([*clip_id.encode()]).normal(0, 0.1, RATE // 2).astype(np.float32)

    samples = [{"__key__": i, "flac": shards.encode_clip(audio(i), RATE, bits=bits)} for i in clip_ids]
    return shards.write_shard(store, key, samples)


def _draft(store, rows, kept, rejected):
    with TemporaryDirectory() as folder:
        path = Path(folder, "table")
        with path.open("wb") as file:
            ledger.write(iter(rows), file, constants=CONSTANTS)
        summary, data = ledger.summary(path), path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    named = Shard(f"ledgers/{digest[:24]}.parquet", digest, len(data), len(rows))
    store.write(named.key, data)
    store.write("ledger.parquet", data)
    shards = {"shards": sorted(kept, key=lambda tar: tar.key), "rejected": sorted(rejected, key=lambda tar: tar.key)}
    return Manifest(ledger=named, run=run_of(**summary), **shards)


def _write_rest(store, manifest, groups):
    takes = [take for group in groups for take in group]
    store.write("run.json", json.dumps(manifest.run | {"version": manifest.version}).encode())
    store.write("report/index.html", "".join(f"<p>{i}</p>" for take in takes for i in take.clip_ids()).encode())
    store.write("report/audio/001-raw.wav", b"RIFF")
    for take in takes:
        store.write(f"export/piper/wavs/{take.clip_ids()[0]}.wav", b"RIFF")
