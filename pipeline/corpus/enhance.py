"""Stage `enhance`: the clips of a raw shard through the network, in batches of like lengths."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import EnhanceConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.records import Enhanced, Outcome, Part, RawShard
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.corpus import joined, shards
from clean_corpus.pipeline.corpus.stage_cache import cached, library_versions
from clean_corpus.pipeline.quality import signal_measures
from clean_corpus.pipeline.storage.base import Store

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 6  # raise it when the same network gives other samples: other batches, padding or scaling

Enhancer = Callable[["Tensor", "Tensor"], "Tensor"]
"""(waveforms (B, N), lengths (B,) in samples) -> waveforms (B, N)."""

Name = TypeVar("Name", bound=Hashable)

GPU_BATCH_S = 30.0
"""Padded audio per batch where the settings say nothing, on a GPU, which many workers share. On a core clips go one
after the other: side by side each takes up to half as long again."""

RETURN_S = 60.0
"""Audio after which freed memory is returned to the system; after each batch it took a quarter of the time."""

_FAULTS = (DataError, RuntimeError, ValueError)  # of one clip; anything else stops the shard


def enhance_shard(
    store: Store,
    raw: RawShard,
    enhancer: Callable[[], Enhancer],
    identity: str,
    config: PipelineConfig,
    *,
    on_gpu: Callable[[], bool] = lambda: False,
) -> Outcome[Enhanced]:
    """Enhance the clips of a raw shard that are not rejected yet.

    `identity` names the network by its weights and its version; `enhancer` loads it and `on_gpu` says whether to a GPU,
    only if there is work to do. What it computes on, and the batches that suit that, name no result: otherwise a corpus
    would be computed anew on another machine.
    Raises: DataError if the shard's bytes are not those that were written; StorageError if the output cannot be.
    """
    ids = [clip.clip_id for clip in raw.wanted]
    libraries = decode.CODEC_VERSION, library_versions("onnxruntime", "torch", "webdataset")
    settings = {"batch_s": config.enhance.batch_s}
    name = content_name("enhance", VERSION, raw.shard.sha256, ids, identity, settings, *libraries)

    def compute() -> Enhanced:
        rate = config.audio.sample_rate
        noisy = dict(shards.read_clips(store, raw.shard, ids))
        enhanced, failed = enhance_named(noisy, enhancer(), config.enhance, rate, on_gpu=on_gpu())
        samples = (
            {"__key__": clip_id, "flac": shards.encode_clip(x, rate, bits=24)} for clip_id, x in enhanced.items()
        )
        residual_snr_db = {
            clip_id: round(signal_measures.residual_snr_db(noisy[clip_id], x, rate), 3)
            for clip_id, x in enhanced.items()
            if len(x)
        }
        return Enhanced(shards.write_shard(store, f"work/enhanced/{name}.tar", samples), failed, residual_snr_db)

    def join() -> tuple[Enhanced, bool] | None:
        def put(some: list[Enhanced]) -> Enhanced:
            failed = joined.merged([part.failed for part in some])
            wanted = [[c.clip_id for c in part.wanted if c.clip_id not in failed] for part in parts]
            tars = [Part(e.shard, ids) for e, ids in zip(some, wanted, strict=True) if e.shard]
            shard = joined.join_tars(store, f"enhanced-{name}", tars)
            return Enhanced(shard, failed, joined.merged([part.residual_snr_db for part in some]))

        parts = [part for part in joined.raw_parts(store, raw) if part.wanted]
        return joined.join(
            parts, lambda part: enhance_shard(store, part, enhancer, identity, config, on_gpu=on_gpu), put
        )

    return cached(store, "enhance", name, Enhanced, compute, join)


def enhance_named(
    noisy: Mapping[Name, Audio], enhancer: Enhancer, config: EnhanceConfig, rate: int, *, on_gpu: bool = False
) -> tuple[dict[Name, Audio], dict[Name, str]]:
    """Return the enhanced clips by name, and the reasons of those that failed by name.

    Where the network fails on a batch, every clip goes through alone, so that only the one at fault fails. A GPU that
    has no memory for one is no clip's fault: what is recorded of a clip stays, and another attempt may find room.
    """
    try:
        enhanced = enhance_clips(list(noisy.values()), enhancer, config, sample_rate=rate, on_gpu=on_gpu)
        return dict(zip(noisy, enhanced, strict=True)), {}
    except _FAULTS:
        output, failed = {}, {}
        for name, x in noisy.items():
            try:
                (output[name],) = enhance_clips([x], enhancer, config, sample_rate=rate, on_gpu=on_gpu)
            except _FAULTS as error:
                if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU that others use too
                    raise
                failed[name] = f"enhance: {error}"
        return output, failed


# ---- batches ---------------------------------------------------------------------------------------------------


def batches(lengths: Sequence[int], batch_samples: int) -> Iterator[list[int]]:
    """Yield the indices of clips of like length: with its padding, each batch holds at most batch_samples.

    >>> list(batches([5, 1, 4, 1], 8))
    [[1, 3], [2], [0]]
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and lengths[index] * (len(batch) + 1) > batch_samples:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def enhance_clips(
    clips: Sequence[Audio], enhancer: Enhancer, config: EnhanceConfig, *, sample_rate: int, on_gpu: bool = False
) -> list[Audio]:
    """Enhance each clip, in batches of like lengths; a clip longer than a batch goes alone.

    A clip is copied into its batch, which a GPU reads as it is, and out of it.
    Shapes: clips (N_i,) at the enhancer's rate -> (N_i,) each.
    Raises: DataError if the enhancer returns other lengths or samples that are not finite.
    """
    results: list[Audio] = [np.zeros(0, np.float32)] * len(clips)
    sounding = [i for i, clip in enumerate(clips) if len(clip)]
    held = 0
    batch_s = config.batch_s or (GPU_BATCH_S if on_gpu else 0.0)
    for batch in batches([len(clips[i]) for i in sounding], int(batch_s * sample_rate)):
        indices = [sounding[i] for i in batch]
        for index, audio in zip(indices, _run([clips[i] for i in indices], enhancer, pinned=on_gpu), strict=True):
            results[index] = audio
            held += len(audio)
        if held > RETURN_S * sample_rate:
            memory.return_freed_memory()
            held = 0
    return results


def _run(clips: list[Audio], enhancer: Enhancer, *, pinned: bool) -> list[Audio]:
    import torch  # takes two seconds, which a process that finds the result again does without

    from clean_corpus.pipeline.quality import device as devices

    lengths = torch.tensor([len(clip) for clip in clips])
    noisy = devices.staged(clips, pinned=pinned)
    output = enhancer(noisy, lengths)
    if output.shape != noisy.shape:
        raise DataError(f"enhancer returned {tuple(output.shape)} for {tuple(noisy.shape)}: lengths must be kept")
    if not bool(torch.isfinite(output).all()):
        raise DataError("enhancer returned samples that are NaN or infinite")
    return [row[: len(clip)].numpy().copy() for row, clip in zip(output, clips, strict=True)]
