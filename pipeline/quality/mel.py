"""Mel filters as package librosa makes them, which takes seconds to import."""

import numpy as np
from numpy.typing import NDArray

LINEAR_HZ, LINEAR_STEP_HZ = 1000.0, 200.0 / 3  # below it the scale is linear, with this width of a mel
LOG_STEP = np.log(6.4) / 27.0  # of the logarithm of the frequency, to the mel, above it


def mel_filterbank(*, sample_rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Return triangular filters of equal area, from 0 Hz to half the rate.

    Source: Slaney, Auditory Toolbox, 1998; librosa.filters.mel, which it equals bit by bit.
    Shapes: -> (n_fft // 2 + 1, n_mels), power of a spectrum to power of a band.

    >>> mel_filterbank(sample_rate=16000, n_fft=400, n_mels=40).shape
    (201, 40)
    """
    highest = LINEAR_HZ / LINEAR_STEP_HZ + np.log(np.asarray(sample_rate / 2) / LINEAR_HZ) / LOG_STEP
    mels = np.linspace(0.0, highest, n_mels + 2)
    edges = LINEAR_STEP_HZ * mels
    is_high = mels >= LINEAR_HZ / LINEAR_STEP_HZ
    edges[is_high] = LINEAR_HZ * np.exp(LOG_STEP * (mels[is_high] - LINEAR_HZ / LINEAR_STEP_HZ))
    widths = np.diff(edges)[:, None]
    above = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1 / sample_rate))
    weights = np.maximum(0, np.minimum(-above[:-2] / widths[:-1], above[2:] / widths[1:])).astype(np.float32)
    weights *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return weights.T
