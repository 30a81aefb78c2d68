"""Measures of a signal, alone or against a reference: SNR, SI-SDR, clipping, bandwidth. Arrays in, numbers out."""

import math

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]

RATIO_LIMIT_DB = 100.0
SNR_LIMITS_DB = (-10.0, 60.0)
SPEECH_BAND_HZ = (300.0, 3400.0)  # of telephony; hum lies below it
STEP = 1 / 32768  # of 16 bits
CUTOFF_DROP_DB, CUTOFF_WIDTH_HZ = 25.0, 800.0


def si_sdr_db(estimate: Samples, reference: Samples) -> float:
    """Return the scale-invariant signal-to-distortion ratio.

    Source: Le Roux et al., ICASSP 2019, equation 3, means removed.
    Departs: limited to +-100 dB, so that a perfect estimate has a number; nan if the reference is silent.
    Shapes: (N,) twice -> dB.
    Raises: ValueError if the shapes differ or are not (N,).

    >>> round(si_sdr_db(np.array([3.0, 1.0, -3.0, -1.0]), np.array([1.0, 0.0, -1.0, 0.0])), 3)
    9.542
    """
    estimate, reference = _pair(estimate, reference)
    estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    power = np.dot(reference, reference)
    if power == 0:
        return float("nan")
    target = np.dot(estimate, reference) / power * reference
    return _limited_ratio_db(np.sum(np.square(target)), np.sum(np.square(estimate - target)))


def global_snr_db(estimate: Samples, reference: Samples) -> float:
    """Return the power of the reference over the power of the difference, both over the whole signal.

    Departs: limited to +-100 dB, so that a perfect estimate has a number; nan if the reference is silent.
    Source: Loizou, Speech Enhancement, 2nd edition, section 11.1.1.
    Shapes: (N,) twice -> dB.
    Raises: ValueError if the shapes differ or are not (N,).

    >>> round(global_snr_db(np.array([1.1, -1.1]), np.array([1.0, -1.0])), 3)
    20.0
    """
    estimate, reference = _pair(estimate, reference)
    power = np.sum(np.square(reference))
    if power == 0:
        return float("nan")
    return _limited_ratio_db(power, np.sum(np.square(reference - estimate)))


def residual_snr_db(raw: Samples, enhanced: Samples, sample_rate: int) -> float:
    """Return the level of an enhanced signal over that of what was removed, in the 160 ms where most was.

    High where enhancing hardly changes anything. A single sneeze lowers it, which estimates of a steady background
    overlook. A change of gain is none of the signal.
    Departs: limited to +-100 dB; -100 if the enhanced signal is silent.
    Shapes: (N,) twice -> dB.
    Raises: ValueError if the shapes differ or are not (N,).

    >>> raw = np.sin(np.arange(16000) * 0.3)
    >>> residual_snr_db(raw, raw / 2, 16000)
    100.0
    >>> round(residual_snr_db(raw + 0.1 * (np.arange(16000) > 8000), raw, 16000), 1)
    17.0
    """
    raw, enhanced = _pair(raw, enhanced)
    power = np.dot(enhanced, enhanced)
    if power == 0:
        return -RATIO_LIMIT_DB
    scaled = np.dot(raw, enhanced) / power * enhanced
    starts = np.arange(0, raw.size, round(0.032 * sample_rate))
    removed = np.add.reduceat(np.square(raw - scaled), starts) / np.diff(starts, append=raw.size)
    return _limited_ratio_db(float(np.mean(np.square(scaled))), float(np.sort(removed)[-5:].mean()))


def clipping_ratio(x: Samples, *, step: float = STEP) -> float:
    """Return the share of samples that were cut off at a ceiling, at full scale or before a later change of gain.

    `step` is the quantisation step of the samples. See `clipped_samples`.

    Shapes: x (N,) -> [0, 1].
    Raises: ValueError if x is not (N,).

    >>> clipping_ratio(np.clip(np.sin(np.arange(1000) * 0.1), -0.5, 0.5)) > 0.6
    True
    >>> clipping_ratio(np.sin(np.arange(1000) * 0.1))
    0.0
    """
    return clipped_samples(x, step=step) / x.size


def clipped_samples(x: Samples, *, step: float = STEP) -> int:
    """Return the number of samples in flat tops that end at a common ceiling.

    A flat top is three or more samples within a hair of one value, lower on both sides, and entered or left by a jump
    of more than four hairs. A smooth top cannot jump so: the parabola through three samples within h of its vertex has
    fallen by at most 4 h at the next. A hair is 1.5 steps, of 16 bits below the peak at least. Two tops or more
    within two hairs of each other make a ceiling if fewer samples lie above it than in them: a click does not hide the
    ceiling of the speech beside it. Clipping that was resampled, filtered or coded with loss afterwards is no longer
    flat and not seen.

    Shapes: x (N,) -> up to N.
    Raises: ValueError if x is not (N,).
    """
    x = _row(x)
    peak = float(np.abs(x).max())
    hair = 1.5 * max(step, STEP * peak)
    return sum(_below_ceilings(side, peak / 2, hair) for side in (x, -x))


def _below_ceilings(x: NDArray[np.float64], lowest: float, hair: float) -> int:
    """Return the number of samples in the flat tops of one side whose ceilings lie at `lowest` or higher."""
    starts, ends = _tops(x, lowest, hair)
    if not len(starts):
        return 0
    lengths = ends - starts
    levels = np.maximum.reduceat(x, starts)
    order = np.argsort(levels)[::-1]
    above = np.sort(x[x > levels.min()])
    clipped = first = 0
    while first < len(order):
        ceiling = levels[order[first]]
        end = int(np.searchsorted(-levels[order], 2 * hair - ceiling, side="right"))
        group = int(lengths[order[first:end]].sum())
        higher = len(above) - int(np.searchsorted(above, ceiling + hair, side="right"))
        if end - first > 1 and higher - clipped < group:
            clipped += group
        first = end
    return clipped


def _tops(x: NDArray[np.float64], lowest: float, hair: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return starts and ends of the flat tops at `lowest` or higher."""
    steps = np.diff(x)
    flat = np.abs(steps) <= hair
    flat &= x[1:] >= lowest
    edges = np.diff(np.concatenate(([False], flat, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + 1
    rise = np.where(starts > 0, steps[np.maximum(starts - 1, 0)], 0.0)
    fall = np.where(ends < x.size, -steps[np.minimum(ends - 1, x.size - 2)], 0.0)
    found = (ends - starts >= 3) & (rise >= 0) & (fall >= 0) & (np.maximum(rise, fall) > 4 * hair)
    starts, ends = starts[found], ends[found]
    if len(starts):
        bounds = np.stack([starts, ends], axis=1).ravel()
        padded = np.append(x, x[-1])
        level = np.maximum.reduceat(padded, bounds)[::2] - np.minimum.reduceat(padded, bounds)[::2] <= hair
        starts, ends = starts[level], ends[level]
    return starts, ends


def quantisation_step(x: Samples) -> float:
    """Return the step of 8, 16 or 24 bits that all samples are multiples of, 0 if there is none.

    Shapes: x (*, N).

    >>> quantisation_step(np.array([1 / 32768, 0.5])) * 32768
    1.0
    """
    for bits in (8, 16, 24):
        steps = x * np.float64(1 << (bits - 1))
        if np.array_equal(steps, np.rint(steps)):
            return 1 / (1 << (bits - 1))
    return 0.0


def effective_bandwidth_hz(x: Samples, sample_rate: int, *, step: float = STEP) -> float:
    """Return the highest frequency that carries sound: about 4 kHz after a telephone, whatever the sample rate.

    `step` is the quantisation step of the samples. See `bandwidth_of_spectrum_hz`.

    Shapes: x (N,) -> Hz; nan if x is silent or shorter than a frame of 32 ms.
    Raises: ValueError if x is not (N,).

    >>> round(effective_bandwidth_hz(np.sin(np.arange(16000) * np.pi / 8), 16000), -2)  # 1000 Hz, smeared
    1100.0
    """
    return bandwidth_of_spectrum_hz(power_spectrum(x, sample_rate), sample_rate, step=step)


def power_spectrum(x: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Return the mean power spectrum of a signal in frames of 32 ms, nan if it is shorter than one.

    Shapes: x (N,) -> (F,), F = 0.016 * sample_rate + 1.
    Raises: ValueError if x is not (N,).
    """
    x = _row(x)
    n_fft = _n_fft(sample_rate)
    x = x - x.mean()
    total = np.zeros(n_fft // 2 + 1)
    n_frames = x.size // n_fft
    for first in range(0, n_frames, 64):  # few at a time: 20 s at 192 kHz are 4 million samples
        frames = x[first * n_fft : min(first + 64, n_frames) * n_fft].reshape(-1, n_fft)
        total += np.square(np.abs(np.fft.rfft(frames * _window(n_fft)))).sum(axis=0)
    return total / n_frames if n_frames else np.full_like(total, np.nan)


def bandwidth_of_spectrum_hz(power: NDArray[np.float64], sample_rate: int, *, step: float) -> float:
    """Return the highest frequency of a power spectrum that carries sound.

    The spectrum is smoothed over 5 bins. A bin carries sound if it lies less than 50 dB under the mean of the speech
    band and 10 dB over the quantisation noise: full-band speech lies 20 to 45 dB under that mean at 7 kHz, what a
    resampler or codec cut off lies 65 to 90 dB under it. Noise counts as sound.

    Shapes: power (F,) of `power_spectrum` -> Hz; nan if there is no sound.
    """
    power = _smoothed(power)
    freq_hz = np.fft.rfftfreq(_n_fft(sample_rate), 1 / sample_rate)
    speech = power[(freq_hz >= SPEECH_BAND_HZ[0]) & (freq_hz <= SPEECH_BAND_HZ[1])].mean()
    quantisation = np.sum(np.square(_window(_n_fft(sample_rate)))) * step**2 / 12
    (loud,) = np.nonzero(power > max(speech * 1e-5, quantisation * 10))
    return float(freq_hz[loud[-1]]) if loud.size else float("nan")


def cutoff_of_spectrum_hz(power: NDArray[np.float64], sample_rate: int) -> float:
    """Return where a power spectrum ends as a resampler's or a coder's does, nan where it fades out or fills the band.

    There the level falls by 25 dB within 800 Hz, and nothing above comes back, well below half the rate. What was
    resampled falls by 50 to 70 dB, a soft or dark voice in its own room by less than 25, whatever the slope of its
    spectrum: above it lies the noise of the room and the microphone.

    Shapes: power (F,) of `power_spectrum` -> Hz.
    """
    power = _smoothed(power)
    bin_hz = sample_rate / _n_fft(sample_rate)
    width, reach = round(CUTOFF_WIDTH_HZ / bin_hz), round(300 / bin_hz)
    bins = np.arange(round(2000 / bin_hz), min(round(0.85 * sample_rate / 2 / bin_hz), len(power) - width - 1))
    if not bins.size or not np.isfinite(power).all():
        return float("nan")
    total = np.concatenate(([0.0], np.cumsum(power)))
    below = (total[bins + 1] - total[bins - reach]) / (reach + 1)
    highest = np.maximum.accumulate(power[::-1])[::-1][bins + width]
    steepest = int(np.argmax(below / np.maximum(highest, np.finfo(float).tiny)))
    if below[steepest] <= highest[steepest] * 10 ** (CUTOFF_DROP_DB / 10):
        return float("nan")
    fall = power[bins[steepest] : bins[steepest] + width]
    (above,) = np.nonzero(fall > np.sqrt(below[steepest] * highest[steepest]))
    return float((bins[steepest] + (above[-1] if above.size else 0)) * bin_hz)


def _smoothed(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(np.pad(power, 2, mode="edge"), np.full(5, 0.2), "valid")


def _n_fft(sample_rate: int) -> int:
    return round(0.032 * sample_rate)


def _window(n_fft: int) -> NDArray[np.float64]:
    return np.hanning(n_fft + 1)[:-1]


def snr_estimate_db(x: Samples, speech_mask: NDArray[np.bool_], sample_rate: int) -> float:
    """Estimate the power of speech over the power of the background from the clip itself.

    Background is the mean power of the windows that are two or more away from speech, whose onsets and decays the mask
    misses; where fewer than six are left, of the quietest tenth of all windows. Speech is the mean power of the speech
    windows less the background. Since pauses do not count, it is about 1 dB above the ratio over the whole stretch.

    Shapes: x (N,), speech_mask (ceil(N / window),), one value per 32 ms -> dB in [-10, 60]; nan if there is no speech.
    The mask may have one value more or less: it comes from another sample rate, where the last window ends elsewhere.
    Raises: ValueError if the mask does not fit the samples.

    >>> x = np.concatenate([np.tile([0.1, -0.1], 2560), np.tile([1.0, -1.0], 2560)])
    >>> round(snr_estimate_db(x, np.arange(20) >= 10, 16000), 2)
    19.96
    """
    x = _row(x)
    window = 0.032 * sample_rate  # a fraction at 22.05 and 44.1 kHz
    starts = (np.arange(math.ceil(x.size / window)) * window).astype(int)
    if speech_mask.ndim != 1 or abs(speech_mask.size - starts.size) > 1:
        raise ValueError(f"speech mask has shape {speech_mask.shape}, {x.size} samples have {starts.size} windows")
    starts, speech_mask = starts[: speech_mask.size], speech_mask[: starts.size]
    power = np.add.reduceat(np.square(x - x.mean()), starts) / np.diff(starts, append=x.size)
    if not power[speech_mask].any():
        return float("nan")
    near_speech = np.convolve(speech_mask, np.ones(5), "full")[2:-2] > 0
    background = power[~near_speech]
    if background.size < 6:
        background = np.sort(power)[: max(1, power.size // 10)]
    noise = background.mean()
    if noise == 0:
        return SNR_LIMITS_DB[1]
    low, high = (10 ** (limit / 10) for limit in SNR_LIMITS_DB)
    return _db(np.clip(power[speech_mask].mean() / noise - 1, low, high))


def _row(x: Samples) -> NDArray[np.float64]:
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"expected samples of shape (N,), N > 0, got {x.shape}")
    return x.astype(np.float64)


def _pair(estimate: Samples, reference: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if estimate.shape != reference.shape:
        raise ValueError(f"estimate has shape {estimate.shape}, reference {reference.shape}; they must be equal")
    return _row(estimate), _row(reference)


def _limited_ratio_db(signal: float, error: float) -> float:
    limit = 10 ** (RATIO_LIMIT_DB / 10)
    if signal <= error / limit:  # a silent estimate too
        return -RATIO_LIMIT_DB
    return _db(signal / error) if signal < error * limit else RATIO_LIMIT_DB


def _db(power_ratio: float) -> float:
    return float(10 * np.log10(power_ratio))
