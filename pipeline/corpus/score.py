"""Stage `score`: every score of the clips of a shard; and scores of plain files."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import AudioConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import content_name, sha256_file
from clean_corpus.pipeline.core.records import Outcome, Scored, Shard
from clean_corpus.pipeline.core.types import Audio, Clip, Recording, Scores
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.clips import cut_recording, read_recording, read_whole
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.quality import scorer as scoring
from clean_corpus.pipeline.storage.base import Store

VERSION = 2  # raise it when the same samples get other scores

_read_reference = lru_cache(maxsize=1)(read_whole)  # the clips of one long recording follow each other


def score_shard(
    store: Store,
    shard: Shard | None,
    clips: Sequence[Clip],
    scorer: Callable[[], scoring.Scorer],
    config: PipelineConfig,
    clean_references: Mapping[str, Path],
) -> Outcome[Scored]:
    """Score some clips of a shard; no shard gives no scores.

    `clean_references` holds the clean version of a clip's source where there is one: source -> file. `scorer` is
    called only if there is work to do.
    Raises: DataError if the shard's bytes are not those that were written.
    """
    name = _name(shard, clips, config, clean_references)

    def compute() -> Scored:
        scores: dict[str, Scores] = {}
        failed: dict[str, str] = {}
        clip_of = {clip.clip_id: clip for clip in clips}
        for clip_id, x in shards.read_clips(store, shard, clip_of.keys()) if shard else ():
            clip = clip_of[clip_id]
            try:
                clean = _clean_version(clip, clean_references.get(clip.source), config.audio)
                scores[clip_id] = scorer().score(x, sample_rate=config.audio.sample_rate, clean=clean)
            except DataError as error:
                failed[clip_id] = f"score: {error}"
            memory.return_freed_memory()
        return Scored(scores, failed)

    return cached(store, "score", name, Scored, compute)


def _name(
    shard: Shard | None, clips: Sequence[Clip], config: PipelineConfig, clean_references: Mapping[str, Path]
) -> str:
    references: list[object] = []
    if config.score.clean_dir:
        digests = {source: sha256_file(path) for source, path in clean_references.items()}
        decoding = config.audio.model_dump(include={"sample_rate", "channel", "allow_truncated"})
        references = [[digests.get(clip.source) for clip in clips], decoding, decode.CODEC_VERSION]
    return content_name(
        "score",
        VERSION,
        shard.sha256 if shard else None,
        [clip.clip_id for clip in clips],
        references,
        scoring.rulers(),
        config.segment.speech_threshold,
        library_versions("onnxruntime"),
    )


def _clean_version(clip: Clip, reference: Path | None, config: AudioConfig) -> Audio | None:
    """Return the stretch of the clean reference from which the clip's own was cut in the noisy recording."""
    if reference is None:
        return None
    start = round(clip.offset_s * config.sample_rate)
    return _read_reference(reference, config)[start : start + round(clip.duration_s * config.sample_rate)]


# ---- plain files -----------------------------------------------------------------------------------------------


def score_file(
    recording: Recording, folder: Path, reference: Path | None, scorer: scoring.Scorer, config: AudioConfig
) -> Scores | str:
    """Score a whole recording, against its clean reference if there is one; return the reason if that fails."""
    try:
        x = read_recording(folder, recording, config)
        clean = read_whole(reference, config) if reference else None
        return scorer.score(x, sample_rate=config.sample_rate, clean=clean)
    except (DataError, OSError) as error:
        return str(error)


def score_clips(
    recording: Recording, folder: Path, scorer: scoring.Scorer, config: PipelineConfig
) -> list[tuple[float, Scores]]:
    """Return duration in seconds and scores of each clip that a run would cut from a recording and not reject."""
    return [
        (clip.duration_s, scorer.score(x, sample_rate=config.audio.sample_rate))
        for clip, x in cut_recording(folder, recording, config)
        if x is not None and not clip.reject
    ]
