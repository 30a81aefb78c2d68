"""The band above a network's own: treated by a gain that is extrapolated from what the network did below it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Audio

HighBand = Callable[[Sequence[Audio], Sequence[Audio], Sequence[Audio], int, int, Sequence[float]], list[Audio]]
"""(low bands into the network, low bands out of it, high bands, rate of the low ones, rate of the high ones, RMS of the
low ones into the network) -> high bands.

Shapes: of each signal (M,), (M,), (N,) of the same seconds -> (N,). Longer signals come in overlapping stretches, each
with the RMS of the whole signal."""

WINDOW_S, HOP_S = 0.032, 0.016
GUIDE = (0.625, 1.0)
"""The band whose gain is extrapolated, as a share of the highest frequency below: 5 to 8 kHz of a network at 16 kHz."""

FLOOR = 1e-12  # mean square that counts as nothing, -120 dB: a gain of nothing is 1
SMOOTHING = (0.25, 0.5, 0.25)  # over frames
MILDNESS = 0.7
"""Exponent of the gain: most noises fade above 8 kHz, so what the network takes below would be too much there."""


def extrapolated_bands(
    low_in: Sequence[Audio], low_out: Sequence[Audio], high: Sequence[Audio], low_rate: int, rate: int, _: object
) -> list[Audio]:
    """Return each high band under `extrapolated`, as a `HighBand`; no level changes it."""
    bands = zip(low_in, low_out, high, strict=True)
    return [extrapolated(*signals, low_rate, rate) for signals in bands]


def extrapolated(low_in: Audio, low_out: Audio, high: Audio, low_rate: int, rate: int) -> Audio:
    """Return the high band under the network's own gain in the band below it, frame by frame.

    The gain is the square root of the ratio of energies out and in, each smoothed over three frames, at most 1, made
    milder, and interpolated to samples: it never jumps. A network that changes nothing has a gain of 1 everywhere.

    Shapes: (M,), (M,) at low_rate, (N,) at rate -> (N,).
    """
    centres_s, gains = band_gains(low_in, low_out, low_rate, top_hz=min(low_rate, rate) / 2)
    curve = np.interp(np.arange(len(high)) / rate, centres_s, gains)
    return high * (curve**MILDNESS).astype(np.float32)


def band_gains(
    low_in: Audio, low_out: Audio, low_rate: int, *, top_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the network's gain in the upper band below `top_hz`, and the middles of the frames, seconds.

    Shapes: (M,) twice -> (T,) twice, gains in [0, 1].
    """
    before, after = (
        np.convolve(np.pad(_band_energy(x, low_rate, top_hz), 1, mode="edge"), SMOOTHING, "valid")
        for x in (low_in, low_out)
    )
    gains = np.sqrt(np.clip((after + FLOOR) / (before + FLOOR), 0.0, 1.0))
    return np.arange(len(gains)) * HOP_S, gains


def _band_energy(x: Audio, rate: int, top_hz: float) -> NDArray[np.float64]:
    """Return the mean square of the upper band in each frame, (N,) -> (T,); frame t is centred on t hops."""
    hop, length = round(HOP_S * rate), round(WINDOW_S * rate)
    n_frames = -(-len(x) // hop) + 1
    padded = np.pad(x, (length // 2, n_frames * hop + length))
    window = np.hanning(length + 1)[:-1]
    freq_hz = np.fft.rfftfreq(length, 1 / rate)
    band = (freq_hz >= GUIDE[0] * top_hz) & (freq_hz < GUIDE[1] * top_hz)
    energy = np.empty(n_frames)
    for first in range(0, n_frames, 512):  # few at a time, since each sample lies in two frames
        last = min(first + 512, n_frames)
        part = padded[first * hop : (last - 1) * hop + length]
        frames = np.lib.stride_tricks.sliding_window_view(part, length)[::hop] * window
        energy[first:last] = np.square(np.abs(np.fft.rfft(frames)[:, band])).sum(axis=1)
    return energy * 2 / (length * np.square(window).sum())
