"""Loudness and true peak of a clip, and the gain that sets them."""

import numpy as np

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio

_BLOCK_S = 0.4
SILENCE = 1e-6  # -120 dBFS; 24 bits end at -138


def loudness_lufs(x: Audio, sample_rate: int) -> float | None:
    """Return the integrated loudness, None if nothing can be heard (no block over the gate of -70 LUFS).

    Source: ITU-R BS.1770-4, by pyloudnorm with the filters of De Man, which at 48 kHz are the standard's; its own
    default is 0.04 dB low there and 0.18 dB low at 8 kHz.
    Departs: of a clip shorter than one gating block (0.4 s) the level, 10 log10 of the mean square: the offset of
    -0.691 dB and the K-weighting cancel at 997 Hz, so both measures agree on a tone of that frequency.
    Shapes: x (N,), full scale +-1 -> LUFS.

    >>> tone = np.sin(2 * np.pi * 997 / 48000 * np.arange(48000)).astype(np.float32)
    >>> round(loudness_lufs(tone, 48000), 2)
    -3.01
    """
    if not np.any(x):
        return None
    if len(x) < _BLOCK_S * sample_rate:
        return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))
    import pyloudnorm  # loads scipy, which takes a second

    meter = pyloudnorm.Meter(sample_rate, filter_class="DeMan", block_size=_BLOCK_S)
    loudness = meter.integrated_loudness(x.astype(np.float64))
    return float(loudness) if np.isfinite(loudness) else None


def true_peak_db(x: Audio, sample_rate: int) -> float:
    """Return the highest level at and between the samples, dBTP; -inf for silence.

    Source: ITU-R BS.1770-4, Annex 2 (4 times oversampling).
    Departs: soxr's filter in place of the 48-tap one.
    Shapes: x (N,), full scale +-1 -> dB.

    >>> round(true_peak_db(np.array([0, 0.5, 0, 0], np.float32), 16000), 1)
    -6.0
    """
    peak = np.abs(x).max(initial=0.0)
    oversampled = resample(x, sample_rate, 4 * sample_rate)
    peak = max(float(peak), float(np.abs(oversampled).max(initial=0.0)))
    return 20 * float(np.log10(peak)) if peak > 0 else -np.inf


def level(x: Audio, sample_rate: int, *, loudness_lufs: float | None, true_peak_db: float) -> tuple[Audio, float]:
    """Return the clip at a loudness, or as near as its true peak allows, and the gain in dB: no limiter, no distortion.

    With None for `loudness_lufs`, only a clip that exceeds the true peak is lowered; silence stays as it is. A clip is
    measured with its peak at full scale, so that the gate of -70 LUFS does not decide over one that is soft.
    Shapes: x (N,) -> (N,), |x| <= 1 for a limit up to 0 dBTP.

    >>> y, gain_db = level(np.ones(160, np.float32), 16000, loudness_lufs=-20.0, true_peak_db=-1.0)
    >>> round(gain_db, 6), round(float(y[0]), 6)
    (-20.0, 0.1)
    """
    peak = float(np.abs(x).max(initial=0.0))
    if peak < SILENCE:
        return x.astype(np.float32), 0.0
    measured_lufs, measured_peak_db = _measure((x / peak).astype(np.float32), sample_rate)
    peak_db = 20 * float(np.log10(peak))
    wanted_db = 0.0 if loudness_lufs is None or measured_lufs is None else loudness_lufs - measured_lufs - peak_db
    gain_db = min(wanted_db, true_peak_db - measured_peak_db - peak_db)
    return (x * np.float64(10 ** (gain_db / 20))).astype(np.float32), gain_db


def _measure(x: Audio, sample_rate: int) -> tuple[float | None, float]:
    # a function of its own, since arguments of level() shadow the names of the two measures
    return loudness_lufs(x, sample_rate), true_peak_db(x, sample_rate)


def within_full_scale(x: Audio) -> Audio:
    """Scale a whole signal down to full scale if it exceeds it, else return it as it is; shapes: any -> the same.

    >>> within_full_scale(np.float32([0.5, -2.0])).tolist()
    [0.25, -1.0]
    """
    peak = float(np.abs(x).max(initial=0.0))
    return x / np.float32(peak) if peak > 1 else x
