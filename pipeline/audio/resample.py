"""Resampling of whole signals and of streams; the only file of this room that knows soxr."""

from typing import Literal

import numpy as np
import soxr

from clean_corpus.pipeline.core.types import Audio


def resample(x: Audio, rate_in_hz: int, rate_out_hz: int) -> Audio:
    """Return a signal at another sample rate, as it is if the rates are equal (soxr, HQ).

    Shapes: x (N,) or (N, C) -> (round(N * rate_out / rate_in),) or the same with C.

    >>> resample(np.zeros(480, np.float32), 48000, 16000).shape
    (160,)
    """
    return x if rate_in_hz == rate_out_hz else soxr.resample(x, rate_in_hz, rate_out_hz, quality="HQ")


class ResampledStream:
    """One channel at another sample rate, block by block; the blocks together equal the whole signal resampled."""

    def __init__(self, rate_in_hz: int, rate_out_hz: int, *, quality: Literal["MQ", "HQ"] = "HQ") -> None:
        self._stream = soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="float32", quality=quality)

    def push(self, block: Audio) -> Audio:
        """Return the samples that a block completes.

        Shapes: block (N,) -> (M,), M >= 0.
        """
        return self._stream.resample_chunk(block)

    def flush(self) -> Audio:
        """Return the samples that are left at the end of the stream.

        Shapes: -> (M,), M >= 0.
        """
        return self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
