"""Stage `embed`: the voices of both versions of the clips of a shard."""

from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.records import Embedded, Outcome, RawShard, Shard, Voices
from clean_corpus.pipeline.core.types import Decision, VoiceFacts
from clean_corpus.pipeline.corpus import joined, shards
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.quality import speakers, voice
from clean_corpus.pipeline.storage.base import Store

VERSION = 1  # raise it when the same samples get other embeddings, or another constancy


def embed_shard(
    store: Store,
    raw: RawShard,
    enhanced: Shard | None,
    encoder: Callable[[], voice.VoiceEncoder],
    config: PipelineConfig,
) -> Outcome[Embedded]:
    """Embed the voices of the clips of a raw shard that are not rejected yet, and of their enhanced versions.

    `encoder` is called only if there is work to do.
    Raises: DataError if a shard's bytes are not those that were written.
    """
    wanted = {clip.clip_id for clip in raw.wanted}
    name = content_name(
        "embed",
        VERSION,
        raw.shard.sha256,
        enhanced.sha256 if enhanced else None,
        sorted(wanted),
        voice.ruler(),
        config.segment.speech_threshold,
        library_versions("onnxruntime", "soxr", "torch"),
    )

    def compute() -> Embedded:
        return Embedded(*(_voices(store, shard, wanted, encoder, config) for shard in (raw.shard, enhanced)))

    def join() -> tuple[Embedded, bool] | None:
        def embedded(part: RawShard) -> Outcome[Embedded]:
            return embed_shard(store, part, joined.enhanced_part(store, enhanced, part), encoder, config)

        def put(some: list[Embedded]) -> Embedded:
            versions = [e.raw for e in some], [e.enhanced for e in some]
            return Embedded(
                *(Voices(joined.merged([v.embeddings for v in of]), joined.merged([v.constancy for v in of]))
                  for of in versions)
            )  # fmt: skip

        return joined.join(joined.raw_parts(store, raw), embedded, put)

    return cached(store, "embed", name, Embedded, compute, join)


def _voices(
    store: Store,
    shard: Shard | None,
    wanted: Collection[str],
    encoder: Callable[[], voice.VoiceEncoder],
    config: PipelineConfig,
) -> Voices:
    voices = Voices({}, {})
    if not (shard and wanted):
        return voices
    encode = encoder()

    def heard() -> Iterator[tuple[str, NDArray[np.float32]]]:
        for clip_id, x in shards.read_clips(store, shard, wanted):
            mel = encode.hear(x, sample_rate=config.audio.sample_rate)
            if mel is not None:
                yield clip_id, mel
            memory.return_freed_memory()

    for clip_id, found in encode.embed_all(heard()):
        voices.embeddings[clip_id] = voice.to_text(found.embedding)
        if (constancy := speakers.constancy(found.windows)) is not None:
            voices.constancy[clip_id] = constancy
    return voices


def likeness(embedded: Embedded, clip_id: str) -> float | None:
    """Return how alike the voices of the raw and the enhanced version of a clip are; None where one has none."""
    texts = [voices.embeddings.get(clip_id) for voices in (embedded.raw, embedded.enhanced)]
    if None in texts:
        return None
    return voice.likeness(*(voice.from_text(text) for text in texts if text is not None))


def facts(embedded: Embedded, clip_id: str, decision: Decision) -> VoiceFacts:
    """Return what is known of the voice of a clip once the version to publish is chosen."""
    return VoiceFacts(
        voice_likeness=likeness(embedded, clip_id),
        voice_constancy=chosen(embedded, decision).constancy.get(clip_id),
    )


def chosen(embedded: Embedded, decision: Decision) -> Voices:
    """Return the voices of the version that was chosen for a clip."""
    return embedded.enhanced if decision.chosen == "enhanced" else embedded.raw
