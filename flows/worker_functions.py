"""Functions that an engine calls in its workers, one for each stage; a worker loads its models once.

The flow's own process imports this module too, to name the functions; they import what they need when they run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from clean_corpus.flows import download_cache
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core.compute_lock import compute_in_turns
from clean_corpus.pipeline.core.config import ScoreConfig, TextConfig
from clean_corpus.pipeline.core.records import (
    Embedded,
    Ending,
    Enhanced,
    Ingested,
    Outcome,
    Published,
    RawShard,
    Scored,
    Shard,
    Transcribed,
)
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import Store

if TYPE_CHECKING:
    from clean_corpus.enhancers.serving.any_rate import AnyRate
    from clean_corpus.enhancers.serving.enhancer import Enhancer
    from clean_corpus.enhancers.serving.sgmse import ScoreDiffusion
    from clean_corpus.enhancers.serving.upper_band import UpperBand
    from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer
    from clean_corpus.pipeline.quality.scorer import Scorer
    from clean_corpus.pipeline.quality.voice import VoiceEncoder
    from clean_corpus.pipeline.text.aligners import Aligner
    from clean_corpus.pipeline.text.transcribers import Transcriber


@dataclass(frozen=True)
class Cleaned:
    """The outcomes of the stages that enhance a raw shard and score it before and after.

    Without an enhancer the last two are None.
    """

    before: Outcome[Scored]
    enhanced: Outcome[Enhanced] | None
    after: Outcome[Scored] | None


def has_gpu() -> bool:
    """Return whether this worker has a GPU: networks of torch then compute there."""
    import torch

    return torch.cuda.is_available()


@cache
def scorer(speech_threshold: float, config: ScoreConfig) -> "Scorer | BatchedScorer":
    """Return this process's scorer, its networks on the GPU if there is one, else on one core."""
    from clean_corpus.pipeline.quality.scorer import Scorer

    windows, naturalness = config.dnsmos_windows, config.distillmos
    if has_gpu():
        from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer

        return BatchedScorer(
            speech_threshold=speech_threshold, dnsmos_windows=windows, naturalness=naturalness, device="cuda"
        )
    return Scorer(speech_threshold=speech_threshold, dnsmos_windows=windows, naturalness=naturalness)


@cache
def voice_encoder(speech_threshold: float) -> "VoiceEncoder":
    """Return this process's encoder of voices, on its GPU if it has one."""
    from clean_corpus.pipeline.quality.voice import VoiceEncoder

    return VoiceEncoder(speech_threshold=speech_threshold, device="cuda" if has_gpu() else "cpu")


@cache
def network(name: str) -> "Enhancer | ScoreDiffusion":
    """Return this process's copy of a network, on its GPU if it has one.

    Raises: ConfigError if there are no such weights.
    """
    from clean_corpus.enhancers.serving.enhancer import load_enhancer

    return load_enhancer(name, device="cuda" if has_gpu() else "cpu")


@cache
def upper_band(name: str) -> "UpperBand":
    """Return this process's copy of a network for the band above 8 kHz, on its GPU if it has one.

    Raises: ConfigError if there are no such weights.
    """
    from clean_corpus.enhancers.serving.upper_band import UpperBand

    return UpperBand.load(name, device="cuda" if has_gpu() else "cpu")


def enhancer(name: str, upper: str | None, sample_rate: int) -> "Enhancer | ScoreDiffusion | AnyRate":
    """Return this process's copy of a network as it works at a rate, with the weights `upper` above its own.

    Raises: ConfigError if there are no such weights.
    """
    from clean_corpus.enhancers.serving.any_rate import at_rate

    below = network(name)
    above = upper_band(upper) if upper and sample_rate > below.sample_rate else None
    return at_rate(below, sample_rate, upper_band=above)


def _store(config: RunConfig) -> Store:
    return open_store(config.output, config.s3)


def ingest(config: RunConfig, group: Sequence[Recording], sizes: Sequence[int] = ()) -> Outcome[Ingested]:
    """Run the stage `ingest` on one group of recordings; `sizes` are those of the groups that it was joined of."""
    from clean_corpus.pipeline.corpus.ingest import ingest_group

    with compute_in_turns():
        return ingest_group(_store(config), config.input, group, config, aligner(config.text), sizes)


def score_raw(config: RunConfig, raw: RawShard) -> Outcome[Scored]:
    """Run the stage `score` (before) on one raw shard; `clean` finds the result again."""
    from clean_corpus.pipeline.corpus import score
    from clean_corpus.pipeline.discover.clean_references import local_references
    from clean_corpus.pipeline.quality.gate import to_score

    ruler = partial(scorer, config.segment.speech_threshold, config.score)
    clips = to_score(raw, config)
    sources = [clip.source for clip in clips]
    with compute_in_turns(), local_references(config.score.clean_dir, sources, config.s3) as references:
        return score.score_shard(_store(config), raw.shard, clips, ruler, config, references)


def clean(config: RunConfig, raw: RawShard) -> Cleaned:
    """Run the stages `score` (before), `enhance` and `score` (after) on one raw shard; without enhancer the first."""
    if not config.enhances:
        return Cleaned(score_raw(config, raw), None, None)
    from clean_corpus.enhancers.serving.identity import identity
    from clean_corpus.pipeline.corpus import enhance, score
    from clean_corpus.pipeline.discover.clean_references import local_references
    from clean_corpus.pipeline.quality.gate import to_score

    store, weights = _store(config), download_cache.weights(config.enhancer, config.s3)
    upper = download_cache.upper_band(weights, config.upper_band, config.s3)
    ruler = partial(scorer, config.segment.speech_threshold, config.score)
    clips = to_score(raw, config)
    sources = [clip.source for clip in clips]
    with compute_in_turns(), local_references(config.score.clean_dir, sources, config.s3) as references:
        before = score.score_shard(store, raw.shard, clips, ruler, config, references)
        rate = config.audio.sample_rate
        name = identity(weights, rate, upper_band=upper)
        load = partial(enhancer, weights, upper, rate)
        enhanced = enhance.enhance_shard(store, raw, load, name, config, on_gpu=has_gpu)
        survivors = [clip for clip in raw.wanted if clip.clip_id not in enhanced.result.failed]
        after = score.score_shard(store, enhanced.result.shard, survivors, ruler, config, references)
    return Cleaned(before, enhanced, after)


@cache
def aligner(config: TextConfig) -> "Aligner | None":
    """Return this process's aligner, None for none.

    Raises: ConfigError if there is no such model.
    """
    from clean_corpus.pipeline.text.aligners import open_aligner

    return open_aligner(config)


@cache
def transcriber(config: TextConfig) -> "Transcriber":
    """Return this process's recogniser.

    Raises: ConfigError if there is no such model.
    """
    from clean_corpus.pipeline.text.transcribers import open_transcriber

    return open_transcriber(config)


def transcribe(
    config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: Sequence[Ending]
) -> Outcome[Transcribed]:
    """Run the stage `transcribe` on one raw shard."""
    from clean_corpus.pipeline.corpus.transcribe import transcribe_shard
    from clean_corpus.pipeline.text.transcribers import identity

    name = identity(config.text)
    with compute_in_turns():
        load = partial(transcriber, config.text)
        return transcribe_shard(_store(config), raw, enhanced, endings, load, name, config)


def embed(config: RunConfig, raw: RawShard, enhanced: Shard | None) -> Outcome[Embedded]:
    """Run the stage `embed` on one raw shard and its enhanced version."""
    from clean_corpus.pipeline.corpus.embed import embed_shard

    with compute_in_turns():
        encoder = partial(voice_encoder, config.segment.speech_threshold)
        return embed_shard(_store(config), raw, enhanced, encoder, config)


def publish(config: RunConfig, raw: RawShard, enhanced: Shard | None, endings: Sequence[Ending]) -> Outcome[Published]:
    """Run the stage `publish` on one raw shard."""
    from clean_corpus.pipeline.corpus.publish import publish_shard

    with compute_in_turns():
        return publish_shard(_store(config), raw, enhanced, endings, config)


def variant(
    config: RunConfig,
    raw: RawShard,
    enhanced: Shard | None,
    endings: Sequence[Ending],
    name: Literal["raw", "enhanced"],
) -> Outcome[Published]:
    """Run the stage `variant` on one raw shard."""
    from clean_corpus.pipeline.corpus.publish import variant_shard

    with compute_in_turns():
        return variant_shard(_store(config), raw, enhanced, endings, name, config)


def report(config: RunConfig, run: dict[str, object], clip_shards: dict[str, tuple[Shard, Shard | None]]) -> None:
    """Write the HTML report of the whole run, with audio of clips from the shards they lie in."""
    from clean_corpus.pipeline.report.run_report import write_run_report

    with compute_in_turns():
        write_run_report(_store(config), run, clip_shards, config)
