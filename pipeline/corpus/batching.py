"""Clips and an enhancer callable in, clips of the same length out."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import EnhanceConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio

Enhancer = Callable[[Tensor, Tensor], Tensor]
"""(waveforms (B, N), lengths (B,) in samples) -> waveforms (B, N)."""

RETURN_S = 60.0
"""Audio after which freed memory is returned to the system; after each batch, a quarter of the time went into that."""


def batches(lengths: Sequence[int], batch_samples: int) -> Iterator[list[int]]:
    """Indices of clips of like length, so that little is padding: each batch padded holds at most batch_samples.

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


def enhance(clips: Sequence[Audio], enhancer: Enhancer, config: EnhanceConfig, *, sample_rate: int) -> list[Audio]:
    """Each clip enhanced, in length-bucketed batches; a clip longer than a batch may be goes alone.

    Shapes: clips (N_i,) at the enhancer's rate -> (N_i,) each.
    Raises: DataError if the enhancer returns other lengths or samples that are not finite.
    """
    results: list[Audio] = [np.zeros(0, np.float32)] * len(clips)
    sounding = [i for i, clip in enumerate(clips) if len(clip)]
    held = 0
    for batch in batches([len(clips[i]) for i in sounding], int(config.batch_s * sample_rate)):
        indices = [sounding[i] for i in batch]
        for index, audio in zip(indices, _run([clips[i] for i in indices], enhancer), strict=True):
            results[index] = audio
            held += len(audio)
        if held > RETURN_S * sample_rate:
            memory.return_freed_memory()
            held = 0
    return results


def _run(clips: list[Audio], enhancer: Enhancer) -> list[Audio]:
    lengths = torch.tensor([len(clip) for clip in clips])
    noisy = torch.zeros(len(clips), int(lengths.max()))
    for row, clip in zip(noisy, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    output = enhancer(noisy, lengths)
    if output.shape != noisy.shape:
        raise DataError(f"enhancer returned {tuple(output.shape)} for {tuple(noisy.shape)}: lengths must be kept")
    if not bool(torch.isfinite(output).all()):
        raise DataError("enhancer returned samples that are NaN or infinite")
    return [row[: len(clip)].numpy().copy() for row, clip in zip(output, clips, strict=True)]
