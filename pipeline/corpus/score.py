"""Stage `score`: every score of the clips of a shard; and scores of plain files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Union

import numpy as np

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.audio.pauses import without
from clean_corpus.pipeline.core import memory, rates
from clean_corpus.pipeline.core.config import AudioConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import content_name, sha256_file
from clean_corpus.pipeline.core.records import Outcome, RawShard, Scored, Shard
from clean_corpus.pipeline.core.types import Audio, Clip, Recording, Scores
from clean_corpus.pipeline.corpus import joined, shards
from clean_corpus.pipeline.corpus.clips import as_published, cut_recording, read_measured, read_whole
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.discover.clean_references import Reference
from clean_corpus.pipeline.quality import scorer as scoring
from clean_corpus.pipeline.quality.gate import recorded
from clean_corpus.pipeline.storage.base import Store

if TYPE_CHECKING:
    from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer, Prepared

AnyScorer = Union[scoring.Scorer, "BatchedScorer"]
Result = TypeVar("Result")

VERSION = 5  # raise it when the same samples get other scores

REFERENCE_SLACK_S = 0.025

_read_reference = lru_cache(maxsize=1)(read_whole)  # the clips of one long recording follow each other


def score_shard(
    store: Store,
    shard: Shard | None,
    clips: Sequence[Clip],
    scorer: Callable[[], AnyScorer],
    config: PipelineConfig,
    clean_references: Mapping[str, Reference],
) -> Outcome[Scored]:
    """Score some clips of a shard; no shard gives no scores.

    `clean_references` holds the clean version of a clip's source where there is one: source -> file, or why it cannot
    be had, which is the clip's end. `scorer` is called only if there is work to do. One that works on a device gets
    clips side by side, and decodes and measures the next ones while it computes.
    Raises: DataError if the shard's bytes are not those that were written.
    """
    name = _name(shard, clips, config, clean_references)

    def compute() -> Scored:
        failed: dict[str, str] = {}
        clip_of = {clip.clip_id: clip for clip in clips}

        def each(measure: Callable[[Audio, Audio | None], Result]) -> Iterator[tuple[str, Result]]:
            for clip_id, x in shards.read_clips(store, shard, clip_of.keys()) if shard else ():
                clip = clip_of[clip_id]
                try:
                    clean = _clean_version(clip, clean_references.get(clip.source), config.audio)
                    found = measure(x, clean)
                except DataError as error:
                    failed[clip_id] = f"score: {error}"
                    continue
                yield clip_id, found
                memory.return_freed_memory()

        if not (shard and clips):
            return Scored({}, failed)
        from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer  # loads torch

        ruler = scorer()
        if isinstance(ruler, BatchedScorer):
            prepared = each(lambda x, clean: _prepared(x, clean, ruler, config.audio))
            return Scored(dict(ruler.score_all(prepared)), failed)
        return Scored(dict(each(lambda x, clean: _scores(x, clean, ruler, config.audio))), failed)

    def join() -> tuple[Scored, bool] | None:
        parts = joined.raw_parts(store, RawShard(shard, list(clips), [])) if shard else []

        def scored(part: RawShard) -> Outcome[Scored]:
            return score_shard(store, part.shard, part.clips, scorer, config, clean_references)

        return joined.join(
            parts,
            scored,
            lambda some: Scored(joined.merged([s.scores for s in some]), joined.merged([s.failed for s in some])),
        )

    return cached(store, "score", name, Scored, compute, join)


def _scores(x: Audio, clean: Audio | None, scorer: AnyScorer, config: AudioConfig) -> Scores:
    """Score a clip as it would be published; loudness and clipping, which tell of damage, as it is.

    Shapes: x (N,), clean (N,).
    """
    rate = config.sample_rate
    (published, _), own = as_published(x, config), scoring.own_level(x, sample_rate=rate)
    return scorer.score(published, sample_rate=rate, clean=clean, own=own) | own


def _prepared(x: Audio, clean: Audio | None, scorer: "BatchedScorer", config: AudioConfig) -> "Prepared":
    """Return what `_scores` measures but for the opinions of networks; shapes: x (N,), clean (N,)."""
    rate = config.sample_rate
    published, _ = as_published(x, config)
    return scorer.prepare(published, sample_rate=rate, clean=clean, own=scoring.own_level(x, sample_rate=rate))


def _name(
    shard: Shard | None, clips: Sequence[Clip], config: PipelineConfig, clean_references: Mapping[str, Reference]
) -> str:
    references: list[object] = []
    if config.score.clean_dir:
        digests = {
            source: str(found) if isinstance(found, DataError) else sha256_file(found)
            for source, found in clean_references.items()
        }
        decoding = config.audio.model_dump(include={"sample_rate", "channel", "allow_truncated"})
        digest_of_each = [digests.get(clip.source) for clip in clips]
        references = [digest_of_each, decoding, decode.CODEC_VERSION, scoring.PESQ_S]
    return content_name(
        "score",
        VERSION,
        shard.sha256 if shard else None,
        [clip.clip_id for clip in clips],
        references,
        scoring.rulers(config.score.dnsmos_windows, naturalness=config.score.distillmos),
        config.audio.model_dump(include={"loudness_lufs", "true_peak_db"}),
        config.segment.speech_threshold,
        library_versions("onnxruntime", "pyloudnorm", "soxr"),
    )


def _clean_version(clip: Clip, reference: Reference | None, config: AudioConfig) -> Audio | None:
    """Return the stretch of the clean reference from which the clip's own was cut in the noisy recording.

    Raises: DataError if it cannot be had or read.
    """
    if reference is None:
        return None
    if isinstance(reference, DataError):
        raise reference
    rate = config.sample_rate
    start, n_samples = round(clip.offset_s * rate), round((clip.duration_s + clip.removed_s) * rate)
    clean = _fitted(_read_reference(reference, config)[start : start + n_samples], n_samples, rate)
    removed = [(round(at_s * rate) - start, round(length_s * rate)) for at_s, length_s in clip.removed]
    return without(clean, removed, rate)


def _fitted(clean: Audio, n_samples: int, sample_rate: int) -> Audio:
    """Return a clean reference cut, or continued with silence, to the length of what it belongs to.

    Raises: DataError if more than 25 ms are missing or left: a coder's frame may differ, what was said may not.
    """
    if abs(len(clean) - n_samples) > REFERENCE_SLACK_S * sample_rate:
        raise DataError(
            f"clean reference lasts {len(clean) / sample_rate:.3f} s, the clip {n_samples / sample_rate:.3f} s; "
            "they must be sample-aligned"
        )
    return np.pad(clean[:n_samples], (0, max(0, n_samples - len(clean))))


# ---- plain files -----------------------------------------------------------------------------------------------


def score_file(
    recording: Recording, folder: Path, reference: Reference | None, scorer: AnyScorer, config: AudioConfig
) -> Scores | str:
    """Score a whole recording, against its clean reference if there is one; return the reason if that fails.

    Both are taken at the rate of a corpus that holds all of the recording, whatever the rate of `config`.
    """
    try:
        if recording.error:
            return recording.error
        if isinstance(reference, DataError):
            raise reference
        with decode.open_recording(folder / recording.path, config, log_messages=False) as reader:
            rate = rates.rate_that_holds(reader.sample_rate_in_hz)
        config = config.model_copy(update={"sample_rate": rate})
        x, measured = read_measured(folder / recording.path, config)
        clean = _fitted(read_whole(reference, config), len(x), config.sample_rate) if reference else None
        return _scores(x, clean, scorer, config) | measured
    except (DataError, OSError) as error:
        return str(error)


def score_clips(
    recording: Recording, folder: Path, scorer: AnyScorer, config: PipelineConfig
) -> list[tuple[float, Scores]]:
    """Return duration in seconds and scores of each clip that a run would cut from a recording and not reject."""
    return [
        (clip.duration_s, _scores(x, None, scorer, config.audio) | recorded(clip))
        for clip, x in cut_recording(folder, recording, config)
        if x is not None and not clip.reject
    ]
