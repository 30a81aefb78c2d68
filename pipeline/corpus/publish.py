"""Stage `publish`: the tars that a user gets of one raw shard, kept clips at their final level; and its variants."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.hashing import canonical_json, content_name
from clean_corpus.pipeline.core.records import Ending, Outcome, Published, RawShard, Shard
from clean_corpus.pipeline.core.types import Audio, Verdict, Version
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.clips import as_published
from clean_corpus.pipeline.corpus.shards import Sample
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.storage.base import Store

VERSION = 4  # raise it when the same clips and endings give other tars


def publish_shard(
    store: Store, raw: RawShard, enhanced: Shard | None, endings: Sequence[Ending], config: PipelineConfig
) -> Outcome[Published]:
    """Write the kept clips at their final level as 16-bit FLAC, and the rejected ones as they came in.

    Raises: DataError if a shard's bytes are not those that were written; StorageError if the output is full.
    """
    facts = [_facts(ending, _version(ending), config) for ending in endings]
    name = _name("publish", raw, enhanced, facts, config)

    def compute() -> Published:
        audio = chosen_audio(store, raw, enhanced, endings)
        gains_db: dict[str, float] = {}

        def samples(verdict: Verdict) -> Iterator[Sample]:
            for ending, fact in zip(endings, facts, strict=True):
                if ending.decision.verdict is not verdict:
                    continue
                clip_id = ending.clip.clip_id
                x = audio[clip_id]
                if verdict is Verdict.KEPT:
                    x, gain_db = as_published(x, config.audio)
                    gains_db[clip_id] = round(gain_db, 3)
                    fact = {**fact, "gain_db": gains_db[clip_id]}
                yield _sample(clip_id, x, fact, config.audio.sample_rate)

        kept = shards.write_shard(store, f"shards/{name}.tar", samples(Verdict.KEPT))
        rejected = shards.write_shard(store, f"rejected/{name}.tar", samples(Verdict.REJECTED))
        return Published(kept, rejected, gains_db)

    return cached(store, "publish", name, Published, compute)


def variant_shard(
    store: Store,
    raw: RawShard,
    enhanced: Shard | None,
    endings: Sequence[Ending],
    variant: Version,
    config: PipelineConfig,
) -> Outcome[Published]:
    """Write one variant of the kept clips at their final level, whichever variant was published: for comparisons.

    Clips that have no such variant are left out. The tar is `kept` of the result.
    Raises: as publish_shard.
    """
    kept = {e.clip.clip_id: _facts(e, variant, config) for e in endings if e.decision.verdict is Verdict.KEPT}
    name = _name(f"variant {variant}", raw, enhanced, list(kept.values()), config)

    def compute() -> Published:
        shard = raw.shard if variant == "raw" else enhanced
        audio = dict(shards.read_clips(store, shard, set(kept))) if shard else {}
        samples = (
            _sample(clip_id, as_published(audio[clip_id], config.audio)[0], kept[clip_id], config.audio.sample_rate)
            for clip_id in kept
            if clip_id in audio
        )
        return Published(shards.write_shard(store, f"variants/{variant}/{name}.tar", samples), None, {})

    return cached(store, "variant", name, Published, compute)


def _name(
    stage: str, raw: RawShard, enhanced: Shard | None, facts: list[dict[str, Any]], config: PipelineConfig
) -> str:
    level = config.audio.model_dump(include={"loudness_lufs", "true_peak_db", "sample_rate"})
    libraries = decode.CODEC_VERSION, library_versions("pyloudnorm", "soxr", "webdataset")
    return content_name(stage, VERSION, raw.shard.sha256, enhanced and enhanced.sha256, facts, level, *libraries)


def chosen_audio(store: Store, raw: RawShard, enhanced: Shard | None, endings: Sequence[Ending]) -> dict[str, Audio]:
    """Return the samples of the version of each clip that lies in a tar."""
    versions = {e.clip.clip_id: _version(e) for e in endings if e.decision.verdict is not Verdict.FAILED}
    audio = dict(shards.read_clips(store, raw.shard, {i for i, version in versions.items() if version == "raw"}))
    if enhanced:
        audio |= shards.read_clips(store, enhanced, {i for i, version in versions.items() if version == "enhanced"})
    return audio


def _sample(clip_id: str, x: Audio, facts: dict[str, Any], sample_rate: int) -> Sample:
    encoded = shards.encode_clip(x, sample_rate, bits=16)
    return {"__key__": clip_id, "flac": encoded, "json": canonical_json(facts)}


def _version(ending: Ending) -> Version:
    """Return which version of a clip lies in the tar: the chosen one if it is kept, else the raw one."""
    return ending.decision.chosen or "raw" if ending.decision.verdict is Verdict.KEPT else "raw"


def _facts(ending: Ending, version: Version, config: PipelineConfig) -> dict[str, Any]:
    """Return what the tar says of a clip in its JSON member; `scores` are of the version that lies beside it."""
    clip, raw = ending.clip, version == "raw"
    return {
        **({"speaker_auto": ending.speaker_auto} if ending.speaker_auto else {}),
        **clip.origin,
        **clip.texts,
        **asdict(ending.decision),
        "version": version,
        "scores": ending.before if raw else ending.after,
        f"scores_{'enhanced' if raw else 'raw'}": ending.after if raw else ending.before,
        "dnsmos_windows": config.score.dnsmos_windows,
    }
