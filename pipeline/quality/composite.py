"""Loizou's composite measures of enhanced speech against its clean reference. Arrays in, numbers out.

Hu & Loizou, Evaluation of objective quality measures for speech enhancement, IEEE TASLP 16(1), 2008. Constants are
those of the code that comes with Loizou's book (composite.m, comp_fwseg.m), by their names there.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]
Frames = NDArray[np.float64]

FRAME_S = 0.03  # winlength; skiprate is a quarter
EPS = np.finfo(np.float64).eps  # added to both signals, against silence
SNR_LIMITS_DB = (-10.0, 35.0)  # MIN_SNR, MAX_SNR of a frame
KEPT = 0.95  # alpha: share of the frames, best first, in LLR and WSS
GAMMA = 0.2  # gamma: exponent of the clean band as a weight
MAX_WEIGHT_DB, PEAK_WEIGHT_DB = 20.0, 1.0  # Kmax, Klocmax; Klatt, ICASSP 1982, page 1280
FLOOR = 1e-10  # of a band's power in the slopes, -100 dB
CUTOFF = np.exp(-30 / (2 * 2.303))  # min_factor: "-30 dB point" of a band's filter

# cent_freq and bandwidth of the critical bands
CENTRES_HZ = np.array([
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
])  # fmt: skip
BANDWIDTHS_HZ = np.array([
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823,
    168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
])  # fmt: skip


class Composite(NamedTuple):
    """Opinions that listeners of ITU-T P.835 would give, 1 to 5: of the speech, the background, and both."""

    csig: float
    cbak: float
    covl: float


def composite(*, pesq: float, llr: float, wss: float, segmental_snr_db: float) -> Composite:
    """Predict opinions from four measures.

    Source: composite.m, Csig, Cbak and Covl, limits included.
    Departs: nothing, but mind the PESQ: the weights were fitted to the raw narrow-band score; tables on the VoiceBank
    corpus, paper [004]'s among them, put in wide-band MOS-LQO.

    >>> opinions = composite(pesq=2.255732, llr=0.681368, wss=49.671978, segmental_snr_db=3.991727)
    >>> [round(opinion, 4) for opinion in opinions]  # of the example that comes with that code
    [3.305, 2.616, 2.7133]
    """
    return Composite(
        _opinion(3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss),
        _opinion(1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segmental_snr_db),
        _opinion(1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss),
    )


def segmental_snr_db(estimate: Samples, reference: Samples, sample_rate: int) -> float:
    """Return the mean over frames of the ratio of reference to difference, each limited to -10 to 35 dB.

    Source: composite.m, function snr.
    Shapes: (N,) twice -> dB; nan if shorter than a frame and a hop.
    Raises: ValueError if the shapes differ or are not (N,).

    >>> x = np.sin(np.arange(16000.0))
    >>> round(segmental_snr_db(1.1 * x, x, 16000), 6), segmental_snr_db(x, x, 16000)
    (20.0, 35.0)
    """
    estimate_frames, frames = _frame_pair(estimate, reference, sample_rate)
    signal = np.sum(np.square(frames), axis=1)
    noise = np.sum(np.square(frames - estimate_frames), axis=1)
    return _mean(np.clip(10 * np.log10(signal / (noise + EPS) + EPS), *SNR_LIMITS_DB))


def fw_segmental_snr_db(estimate: Samples, reference: Samples, sample_rate: int) -> float:
    """Return the segmental SNR in 25 critical bands of normalised spectra, weighted by the clean bands to the 0.2.

    Source: comp_fwseg.m.
    Shapes: (N,) twice -> dB in [-10, 35]; nan if shorter than a frame and a hop.
    Raises: ValueError if the shapes differ or are not (N,), or the sample rate is under 8000 Hz.
    """
    processed, clean = (
        _bands(spec / spec.sum(axis=1, keepdims=True), sample_rate)
        for spec in map(_magnitudes, _frame_pair(estimate, reference, sample_rate))
    )
    weight = clean**GAMMA
    ratio_db = 10 * np.log10(np.square(clean) / np.maximum(np.square(clean - processed), EPS))
    return _mean(np.clip(np.sum(weight * ratio_db, axis=1) / np.sum(weight, axis=1), *SNR_LIMITS_DB))


def log_likelihood_ratio(estimate: Samples, reference: Samples, sample_rate: int) -> float:
    """Return how much worse the estimate's all-pole model predicts the reference than its own: best 95 % of frames.

    Source: composite.m, function llr; order 16, 10 under 10 kHz, and unlike comp_llr.m without a limit of 2.
    Departs: frames without a ratio, because rounding has the better of a nearly singular predictor, are left out.
    Shapes: (N,) twice -> >= 0, 0 for equal signals; nan if shorter than a frame and a hop.
    Raises: ValueError if the shapes differ or are not (N,).
    """
    order = 10 if sample_rate < 10_000 else 16
    lags_of_estimate, lags = (_autocorrelation(x, order) for x in _frame_pair(estimate, reference, sample_rate))
    error = _prediction_error(_predictor(lags_of_estimate), lags)
    least = _prediction_error(_predictor(lags), lags)
    positive = (error > 0) & (least > 0)
    return _trimmed_mean(np.log(error[positive] / least[positive]))


def weighted_spectral_slope(estimate: Samples, reference: Samples, sample_rate: int) -> float:
    """Return the squared difference of spectral slopes, peaks weighing most: mean of the best 95 % of frames.

    Source: Klatt, ICASSP 1982; composite.m, function wss, which divides by the sum of the weights.
    Shapes: (N,) twice -> dB^2 >= 0; nan if shorter than a frame and a hop.
    Raises: ValueError if the shapes differ or are not (N,), or the sample rate is under 8000 Hz.
    """
    processed_db, clean_db = (
        10 * np.log10(np.maximum(_bands(np.square(_magnitudes(frames)), sample_rate), FLOOR))
        for frames in _frame_pair(estimate, reference, sample_rate)
    )
    weight = (_slope_weights(processed_db) + _slope_weights(clean_db)) / 2
    difference = np.square(np.diff(clean_db) - np.diff(processed_db))
    return _trimmed_mean(np.sum(weight * difference, axis=1) / np.sum(weight, axis=1))


def _opinion(value: float) -> float:
    return float(np.clip(value, 1.0, 5.0))


def _frame_pair(estimate: Samples, reference: Samples, sample_rate: int) -> tuple[Frames, Frames]:
    if estimate.shape != reference.shape:
        raise ValueError(f"estimate has shape {estimate.shape}, reference {reference.shape}; they must be equal")
    if reference.ndim != 1:
        raise ValueError(f"expected samples of shape (N,), got {reference.shape}")
    return _frames(estimate, sample_rate), _frames(reference, sample_rate)


def _frames(x: Samples, sample_rate: int) -> Frames:
    """Shapes: (N,) -> (T, W); as num_frames has it, the last whole frame is not counted."""
    width = round(FRAME_S * sample_rate)
    hop = width // 4
    n_frames = max(0, (x.size - width) // hop)
    if n_frames == 0:
        return np.zeros((0, width))
    window = np.hanning(width + 2)[1:-1]
    return np.lib.stride_tricks.sliding_window_view(x + EPS, width)[::hop][:n_frames].astype(np.float64) * window


def _magnitudes(frames: Frames) -> Frames:
    """Shapes: (T, W) -> (T, F) without the Nyquist bin, F at least W."""
    n_fft = 2 ** int(np.ceil(np.log2(2 * frames.shape[1])))
    return np.abs(np.fft.rfft(frames, n_fft))[:, :-1]


def _bands(spec: Frames, sample_rate: int) -> Frames:
    """Sum spectra into critical bands: Gaussian filters of like area.

    Source: composite.m, crit_filter.
    Shapes: (T, F) -> (T, 25).
    """
    if sample_rate < 8000:
        raise ValueError(f"sample rate is {sample_rate} Hz, the critical bands need 8000")
    bins_per_hz = 2 * spec.shape[1] / sample_rate
    centre = np.floor(CENTRES_HZ * bins_per_hz)[:, None]
    width = (BANDWIDTHS_HZ * bins_per_hz)[:, None]
    gain = np.exp(-11 * np.square((np.arange(spec.shape[1]) - centre) / width))
    gain *= (BANDWIDTHS_HZ[0] / BANDWIDTHS_HZ)[:, None]
    return spec @ np.where(gain > CUTOFF, gain, 0.0).T


def _slope_weights(level_db: Frames) -> Frames:
    """Weight each slope by its nearness to the loudest band, and to the peak that it climbs or leaves.

    Source: composite.m, Wmax and Wlocmax, loc_peak with them: a rising slope's is the band below the true peak.
    Shapes: (T, K) -> (T, K - 1) in (0, 1].
    """
    rising = np.diff(level_db) > 0
    band_db = level_db[:, :-1]
    peak_db, falling_peak_db = band_db.copy(), band_db.copy()
    for k in range(band_db.shape[1] - 2, -1, -1):
        peak_db[:, k] = np.where(rising[:, k + 1], peak_db[:, k + 1], band_db[:, k])
    for k in range(1, band_db.shape[1]):
        falling_peak_db[:, k] = np.where(rising[:, k - 1], band_db[:, k], falling_peak_db[:, k - 1])
    peak_db = np.where(rising, peak_db, falling_peak_db)
    near_max = MAX_WEIGHT_DB / (MAX_WEIGHT_DB + level_db.max(axis=1, keepdims=True) - band_db)
    return near_max * PEAK_WEIGHT_DB / (PEAK_WEIGHT_DB + peak_db - band_db)


def _autocorrelation(frames: Frames, order: int) -> Frames:
    """Shapes: (T, W) -> (T, order + 1)."""
    width = frames.shape[1]
    return np.stack([np.sum(frames[:, : width - k] * frames[:, k:], axis=1) for k in range(order + 1)], axis=1)


def _predictor(lags: Frames) -> Frames:
    """Return coefficients 1, a_1 ... a_P of the filter that whitens a signal of this autocorrelation (Levinson-Durbin).

    Shapes: (T, P + 1) -> (T, P + 1).
    """
    filters = np.zeros_like(lags)
    filters[:, 0] = 1.0
    error = lags[:, 0]
    for k in range(1, lags.shape[1]):
        reflection = -np.sum(filters[:, :k] * lags[:, k:0:-1], axis=1) / error
        filters[:, 1 : k + 1] += reflection[:, None] * filters[:, k - 1 :: -1][:, :k]
        error = error * (1 - np.square(reflection))
    return filters


def _prediction_error(filters: Frames, lags: Frames) -> NDArray[np.float64]:
    """Return the power that the filters leave of a signal with this autocorrelation.

    Shapes: (T, P + 1) twice -> (T,).
    """
    index = np.arange(lags.shape[1])
    toeplitz = lags[:, np.abs(index[:, None] - index)]  # (T, P + 1, P + 1)
    return np.einsum("ti,tij,tj->t", filters, toeplitz, filters)


def _trimmed_mean(values: NDArray[np.float64]) -> float:
    return _mean(np.sort(values)[: int(KEPT * values.size + 0.5)])


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
