"""Loudness, true peak and gain against tones whose level is known on paper."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio import loudness
from clean_corpus.pipeline.core.types import Audio


def tone(freq_hz: float, sample_rate: int, *, duration_s: float = 2.0, phase: float = 0.0, peak: float = 1.0) -> Audio:
    time_s = np.arange(int(duration_s * sample_rate)) / sample_rate
    return (peak * np.sin(2 * np.pi * freq_hz * time_s + phase)).astype(np.float32)


def faded(x: Audio, n_fade: int = 1000) -> Audio:
    """Without the jumps at both ends, which ring between the samples."""
    ramp = np.sin(np.linspace(0, np.pi / 2, n_fade)) ** 2
    return (x * np.concatenate([ramp, np.ones(len(x) - 2 * n_fade), ramp[::-1]])).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100, 48000])
def test_full_scale_sine_at_997_hz_is_minus_3_lufs(sample_rate):
    # BS.1770-4, note to equation 2; away from 48 kHz the filters are designs of the same curve, 0.04 dB off
    tolerance = 0.002 if sample_rate == 48000 else 0.05
    assert loudness.loudness_lufs(tone(997, sample_rate), sample_rate) == pytest.approx(-3.01, abs=tolerance)


def test_loudness_follows_gain_and_the_gate_skips_pauses():
    x = tone(997, 48000, peak=0.1)
    assert loudness.loudness_lufs(x, 48000) == pytest.approx(-23.01, abs=0.002)
    with_pause = np.concatenate([x, np.zeros(48000 * 4, np.float32), x])
    # ungated it would be 3 dB lower; the few blocks on the edges of the pause cost some of a dB
    assert loudness.loudness_lufs(with_pause, 48000) == pytest.approx(-23.01, abs=0.4)


def test_short_clip_is_measured_by_rms():
    assert loudness.loudness_lufs(tone(997, 16000, duration_s=0.2), 16000) == pytest.approx(-3.01, abs=0.05)
    assert loudness.loudness_lufs(np.full(1, 0.1, np.float32), 16000) == pytest.approx(-20.0, abs=1e-3)


@pytest.mark.parametrize("n_samples", [0, 1, 16000])
def test_silence_has_no_loudness_and_no_peak(n_samples):
    silence = np.zeros(n_samples, np.float32)
    assert loudness.loudness_lufs(silence, 16000) is None
    assert loudness.true_peak_db(silence, 16000) == -np.inf
    y, gain_db = loudness.level(silence, 16000, loudness_lufs=-23.0, true_peak_db=-1.0)
    assert gain_db == 0.0
    assert np.array_equal(y, silence)


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")  # of pyloudnorm and numpy
def test_below_the_absolute_gate_is_silence():
    assert loudness.loudness_lufs(tone(997, 16000, peak=1e-4), 16000) is None


@pytest.mark.parametrize("sample_rate", [8000, 16000, 48000])
def test_true_peak_of_a_quarter_rate_sine_is_3_db_over_its_samples(sample_rate):
    x = faded(tone(sample_rate / 4, sample_rate, phase=np.pi / 4))
    assert np.abs(x).max() == pytest.approx(np.sqrt(0.5), abs=1e-5)
    # 4 times oversampling meets this peak exactly; what is left is soxr's passband, under 0.01 dB
    assert loudness.true_peak_db(x, sample_rate) == pytest.approx(0.0, abs=0.01)


def test_true_peak_is_never_under_the_sample_peak():
    click = np.zeros(999, np.float32)
    click[500] = 1.0
    assert loudness.true_peak_db(click, 16000) >= 0.0
    assert loudness.true_peak_db(np.ones(1, np.float32), 16000) >= 0.0


def test_level_reaches_the_loudness_by_a_pure_gain():
    x = faded(tone(440, 16000, peak=0.01))
    y, gain_db = loudness.level(x, 16000, loudness_lufs=-23.0, true_peak_db=-1.0)
    assert loudness.loudness_lufs(y, 16000) == pytest.approx(-23.0, abs=0.01)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x * 10 ** (gain_db / 20), rtol=1e-6)


def test_level_stops_at_the_true_peak():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(16000) * 0.01).astype(np.float32)
    x[8000] = 1.0  # one click, 40 dB over the rest
    y, gain_db = loudness.level(x, 16000, loudness_lufs=-10.0, true_peak_db=-3.0)
    assert loudness.true_peak_db(y, 16000) == pytest.approx(-3.0, abs=1e-3)
    assert gain_db < -2.9
    assert loudness.loudness_lufs(y, 16000) < -30


def test_without_a_loudness_only_the_peak_is_guarded():
    quiet, loud = tone(440, 16000, peak=0.1), faded(tone(440, 16000, peak=4.0))
    y, gain_db = loudness.level(quiet, 16000, loudness_lufs=None, true_peak_db=-1.0)
    assert gain_db == 0.0
    assert np.array_equal(y, quiet)
    y, gain_db = loudness.level(loud, 16000, loudness_lufs=None, true_peak_db=-1.0)
    assert gain_db == pytest.approx(-1 - 20 * np.log10(4), abs=0.01)
    assert loudness.true_peak_db(y, 16000) == pytest.approx(-1.0, abs=1e-3)


def test_level_at_a_limit_of_0_db_stays_encodable():
    # one sample: nothing between samples is higher, so it lands on full scale exactly
    for value in np.random.default_rng(0).uniform(0.01, 9, 500):
        y, _ = loudness.level(np.full(1, value, np.float32), 16000, loudness_lufs=0.0, true_peak_db=0.0)
        assert y[0] == 1.0
