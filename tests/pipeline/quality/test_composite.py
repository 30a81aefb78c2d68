"""Loizou's measures against a slow twin, frame by frame as he writes them, and against answers known beforehand."""

import math

import numpy as np
import pytest

from clean_corpus.pipeline.quality import composite
from tests.support import signals

RATE = 16000
MEASURES = [
    composite.segmental_snr_db,
    composite.fw_segmental_snr_db,
    composite.log_likelihood_ratio,
    composite.weighted_spectral_slope,
]


@pytest.fixture(scope="module")
def twins() -> tuple[np.ndarray, np.ndarray]:
    """A syllable, noisy and clean."""
    return tuple(x[8000:12000] for x in (signals.noisy_speech(3, 5.0, seed=3), signals.speech(3, seed=3)))


def slow_frames(x: np.ndarray, sample_rate: int) -> list[np.ndarray]:
    width = round(0.03 * sample_rate)
    hop = width // 4
    window = [0.5 * (1 - math.cos(2 * math.pi * n / (width + 1))) for n in range(1, width + 1)]
    n_frames = math.floor(len(x) / hop - width / hop)
    return [(x[t * hop : t * hop + width].astype(float) + 2**-52) * window for t in range(n_frames)]


def slow_best(values: list[float]) -> float:
    return float(np.mean(sorted(values)[: math.floor(0.95 * len(values) + 0.5)]))


def slow_bands(spec: np.ndarray, sample_rate: int) -> list[float]:
    n_bins = len(spec)
    result = []
    for centre_hz, width_hz in zip(composite.CENTRES_HZ, composite.BANDWIDTHS_HZ, strict=True):
        centre = math.floor(centre_hz / (sample_rate / 2) * n_bins)
        width = width_hz / (sample_rate / 2) * n_bins
        total = 0.0
        for j in range(n_bins):
            gain = math.exp(-11 * ((j - centre) / width) ** 2 + math.log(70.0) - math.log(width_hz))
            total += spec[j] * gain if gain > math.exp(-30 / (2 * 2.303)) else 0.0
        result.append(total)
    return result


def slow_spectrum(frame: np.ndarray) -> np.ndarray:
    n_fft = 2 ** math.ceil(math.log2(2 * len(frame)))
    return np.abs(np.fft.fft(frame, n_fft))[: n_fft // 2]


def slow_segmental_snr(estimate, reference, sample_rate) -> float:
    values = []
    for y, s in zip(slow_frames(estimate, sample_rate), slow_frames(reference, sample_rate), strict=True):
        ratio_db = 10 * math.log10(sum(s**2) / (sum((s - y) ** 2) + 2**-52) + 2**-52)
        values.append(min(max(ratio_db, -10), 35))
    return float(np.mean(values))


def slow_fw_segmental_snr(estimate, reference, sample_rate) -> float:
    values = []
    for y, s in zip(slow_frames(estimate, sample_rate), slow_frames(reference, sample_rate), strict=True):
        noisy, clean = (slow_bands(spec / sum(spec), sample_rate) for spec in map(slow_spectrum, (y, s)))
        weights = [c**0.2 for c in clean]
        ratios = [10 * math.log10(c**2 / max((c - n) ** 2, 2**-52)) for c, n in zip(clean, noisy, strict=True)]
        values.append(min(max(np.dot(weights, ratios) / sum(weights), -10), 35))
    return float(np.mean(values))


def slow_predictor(frame: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations instead of Levinson's recursion."""
    lags = [float(np.dot(frame[: len(frame) - k], frame[k:])) for k in range(order + 1)]
    matrix = np.array([[lags[abs(i - j)] for j in range(order + 1)] for i in range(order + 1)])
    return np.concatenate([[1.0], -np.linalg.solve(matrix[1:, 1:], lags[1:])]), matrix


def slow_llr(estimate, reference, sample_rate) -> float:
    values = []
    for y, s in zip(slow_frames(estimate, sample_rate), slow_frames(reference, sample_rate), strict=True):
        a, matrix = slow_predictor(s, 16)
        b, _ = slow_predictor(y, 16)
        values.append(math.log((b @ matrix @ b) / (a @ matrix @ a)))
    return slow_best(values)


def slow_weights(level: list[float], slope: list[float]) -> list[float]:
    weights = []
    for i in range(24):
        n = i
        if slope[i] > 0:
            while n < 24 and slope[n] > 0:
                n += 1
            peak = level[n - 1]
        else:
            while n >= 0 and slope[n] <= 0:
                n -= 1
            peak = level[n + 1]
        weights.append(20 / (20 + max(level) - level[i]) * 1 / (1 + peak - level[i]))
    return weights


def slow_wss(estimate, reference, sample_rate) -> float:
    values = []
    for y, s in zip(slow_frames(estimate, sample_rate), slow_frames(reference, sample_rate), strict=True):
        levels = [
            [10 * math.log10(max(power, 1e-10)) for power in slow_bands(slow_spectrum(x) ** 2, sample_rate)]
            for x in (y, s)
        ]
        slopes = [[level[i + 1] - level[i] for i in range(24)] for level in levels]
        weights = np.mean([slow_weights(*pair) for pair in zip(levels, slopes, strict=True)], axis=0)
        values.append(np.dot(weights, np.square(np.subtract(*slopes))) / sum(weights))
    return slow_best(values)


SLOW = [slow_segmental_snr, slow_fw_segmental_snr, slow_llr, slow_wss]


@pytest.mark.parametrize(("measure", "slow"), list(zip(MEASURES, SLOW, strict=True)))
def test_equals_its_slow_twin(twins, measure, slow):
    noisy, clean = twins
    # the same sums in another order; the predictors of smooth frames are ill-conditioned
    assert measure(noisy, clean, RATE) == pytest.approx(slow(noisy, clean, RATE), rel=1e-6)


@pytest.mark.parametrize(("measure", "best"), list(zip(MEASURES, [35.0, 35.0, 0.0, 0.0], strict=True)))
def test_equal_signals_give_the_best_value_exactly(twins, measure, best):
    _, clean = twins
    loud = clean + 1e-3 * np.random.default_rng(0).standard_normal(clean.size)  # no frame is silent
    assert measure(loud, loud, RATE) == best


@pytest.mark.parametrize("snr_db", [-20.0, -10.0, 0.0, 12.5, 30.0, 60.0])
def test_segmental_snr_of_a_known_noise(snr_db):
    x = np.random.default_rng(1).standard_normal(RATE)
    estimate = x * (1 + 10 ** (-snr_db / 20))  # the noise is the signal itself: the same ratio in every frame
    assert composite.segmental_snr_db(estimate, x, RATE) == pytest.approx(np.clip(snr_db, -10, 35), abs=1e-9)


def test_segmental_snr_is_a_mean_over_frames():
    x = np.random.default_rng(1).standard_normal(2 * RATE)
    estimate = x.copy()
    estimate[RATE:] *= 2  # 35 dB in the first half, 0 dB in the second
    # 259 frames, of which four straddle the middle
    assert composite.segmental_snr_db(estimate, x, RATE) == pytest.approx(17.5, abs=4 / 259 * 17.5)


@pytest.mark.parametrize("measure", [composite.log_likelihood_ratio, composite.weighted_spectral_slope])
def test_spectral_distances_do_not_hear_gain(twins, measure):
    _, clean = twins
    loud = clean + 1e-3 * np.random.default_rng(0).standard_normal(clean.size)  # above the floor of the bands
    assert measure(0.5 * loud, loud, RATE) == pytest.approx(0, abs=1e-9)


def test_llr_of_white_noise_against_a_known_predictor():
    """White noise taken for a first-order process: the estimate's filter 1 - 0.9 z^-1 leaves 1 + 0.81 times as much."""
    white = np.random.default_rng(2).standard_normal(8 * RATE)
    coloured = np.zeros_like(white)
    for n in range(white.size):
        coloured[n] = white[n] + 0.9 * coloured[n - 1]
    # 16 coefficients from 480 windowed samples stray: about 16 / 180 each
    assert composite.log_likelihood_ratio(coloured, white, RATE) == pytest.approx(math.log(1.81), abs=0.15)


@pytest.mark.parametrize("measure", MEASURES)
def test_more_noise_is_worse(measure):
    clean = signals.speech(2, seed=3)
    by_snr = [measure(signals.noisy_speech(2, snr_db, seed=3), clean, RATE) for snr_db in (0.0, 10.0, 20.0)]
    worse_is_more = measure in (composite.log_likelihood_ratio, composite.weighted_spectral_slope)
    assert sorted(by_snr, reverse=worse_is_more) == by_snr


@pytest.mark.parametrize("measure", MEASURES)
def test_silence_has_a_value_and_too_short_has_none(twins, measure):
    noisy, clean = twins
    for pair in ((noisy, np.zeros_like(clean)), (np.zeros_like(noisy), clean), (np.zeros_like(clean),) * 2):
        assert math.isfinite(measure(*pair, RATE))
    assert math.isfinite(measure(noisy[:600], clean[:600], RATE))  # one frame and one hop
    assert math.isnan(measure(noisy[:599], clean[:599], RATE))


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_input_is_refused_with_both_values(measure):
    with pytest.raises(ValueError, match=r"\(5,\).*\(4,\)"):
        measure(np.ones(5), np.ones(4), RATE)
    with pytest.raises(ValueError, match=r"\(N,\).*\(2, 600\)"):
        measure(np.ones((2, 600)), np.ones((2, 600)), RATE)


def test_bands_beyond_the_nyquist_rate_are_refused():
    for measure in (composite.fw_segmental_snr_db, composite.weighted_spectral_slope):
        with pytest.raises(ValueError, match=r"4000 Hz.* 8000"):
            measure(np.ones(600), np.ones(600), 4000)


def test_composite_of_perfect_and_worst():
    assert composite.composite(pesq=4.64, llr=0, wss=0, segmental_snr_db=35) == (5, 5, 5)
    assert composite.composite(pesq=1.04, llr=3, wss=150, segmental_snr_db=-10) == (1, 1, 1)


def test_composite_weights_by_hand():
    """One unit more of each measure moves each opinion by its weight, printed in Hu & Loizou 2008."""
    base = {"pesq": 2.0, "llr": 0.5, "wss": 40.0, "segmental_snr_db": 5.0}
    start = np.array(composite.composite(**base))
    assert start == pytest.approx([3.4245, 2.625, 2.668])
    moved = {name: np.array(composite.composite(**{**base, name: base[name] + 0.1})) - start for name in base}
    assert moved["pesq"] == pytest.approx([0.0603, 0.0478, 0.0805])
    assert moved["llr"] == pytest.approx([-0.1029, 0, -0.0512])
    assert moved["wss"] == pytest.approx([-0.0009, -0.0007, -0.0007])
    assert moved["segmental_snr_db"] == pytest.approx([0, 0.0063, 0])
