"""Pre-emphasis of the samples that a vocoder models, and its inverse for those it speaks."""

import numpy as np
import scipy.signal
from torch import Tensor
from torch.nn import functional

from clean_corpus.pipeline.core.types import Audio


def emphasised(x: Tensor, emphasis: float) -> Tensor:
    """Return x[n] - emphasis * x[n - 1], limited to full scale: what is left of speech is flatter.

    The steps of 8 bits are noise of equal power at all frequencies; the inverse lowers it where the ear hears it best
    beside speech.

    Source: Valin & Skoglund 2019 (LPCNet), section 3.1, with emphasis 0.85.
    Shapes: (B, N) -> (B, N).

    >>> import torch
    >>> emphasised(torch.tensor([[0.5, 0.5, 0.0]]), 0.5).tolist()
    [[0.5, 0.25, -0.25]]
    """
    return (x - emphasis * functional.pad(x[:, :-1], (1, 0))).clamp(-1, 1) if emphasis else x


def de_emphasised(x: Audio, emphasis: float) -> Audio:
    """Return the inverse of `emphasised`, limited to full scale, (N,) -> (N,).

    >>> de_emphasised(np.float32([0.5, 0.25, -0.25]), 0.5).tolist()
    [0.5, 0.5, 0.0]
    """
    if not emphasis:
        return x
    return scipy.signal.lfilter([1.0], [1.0, -emphasis], x).clip(-1, 1).astype(np.float32)
