"""Stage `transcribe`: what a recogniser hears in the clips that would be kept, as they would be published."""

from collections.abc import Callable, Sequence

import numpy as np

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.records import Ending, Outcome, RawShard, Shard, Transcribed
from clean_corpus.pipeline.core.types import Verdict
from clean_corpus.pipeline.corpus import joined
from clean_corpus.pipeline.corpus.clips import as_published
from clean_corpus.pipeline.corpus.publish import chosen_audio
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.text.languages import language_code
from clean_corpus.pipeline.text.transcribers import RATE, Transcriber

VERSION = 1  # raise it when the same recogniser gives the same samples another text


def transcribe_shard(
    store: Store,
    raw: RawShard,
    enhanced: Shard | None,
    endings: Sequence[Ending],
    transcriber: Callable[[], Transcriber],
    identity: str,
    config: PipelineConfig,
) -> Outcome[Transcribed]:
    """Transcribe the clips that would be kept, each in the version and at the level in which it would be published.

    `transcriber` is called only if there is work to do; `identity` names it by its packages and its model.
    Raises: DataError if the shards' bytes are not those that were written.
    """
    rate = config.audio.sample_rate
    wanted = [ending for ending in endings if ending.decision.verdict is Verdict.KEPT]
    languages = {e.clip.clip_id: language_code(e.clip.metadata.language or config.text.language) for e in wanted}
    level = config.audio.model_dump(include={"loudness_lufs", "true_peak_db", "sample_rate"})
    versions = [(e.clip.clip_id, e.decision.chosen, languages[e.clip.clip_id]) for e in wanted]
    libraries = library_versions("pyloudnorm", "soxr")
    shas = raw.shard.sha256, enhanced and enhanced.sha256
    name = content_name("transcribe", VERSION, *shas, versions, identity, level, libraries)

    def compute() -> Transcribed:
        texts: dict[str, str | None] = {}
        faults: dict[str, str] = {}
        audio = chosen_audio(store, raw, enhanced, wanted) if wanted else {}
        for clip_id, language in languages.items():
            x = resample(as_published(audio[clip_id], config.audio)[0], rate, RATE)
            try:
                texts[clip_id] = transcriber().transcribe(np.ascontiguousarray(x, np.float32), language=language)
            except (RuntimeError, ValueError) as error:
                faults[clip_id] = f"transcribe: {error}"
        return Transcribed(texts, faults)

    def join() -> tuple[Transcribed, bool] | None:
        def transcribed(part: RawShard) -> Outcome[Transcribed]:
            held = {clip.clip_id for clip in part.clips}
            some = [ending for ending in endings if ending.clip.clip_id in held]
            beside = joined.enhanced_part(store, enhanced, part)
            return transcribe_shard(store, part, beside, some, transcriber, identity, config)

        def put(some: list[Transcribed]) -> Transcribed:
            return Transcribed(joined.merged([t.texts for t in some]), joined.merged([t.failed for t in some]))

        return joined.join(joined.raw_parts(store, raw), transcribed, put)

    return cached(store, "transcribe", name, Transcribed, compute, join)
