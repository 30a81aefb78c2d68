"""Distances of vocoded speech from its recording: tones, gains and a known ripple."""

import numpy as np
import pytest
from filelock import FileLock, Timeout

from clean_corpus.pipeline.core.compiled import compile_lock
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.comparison import distances
from clean_corpus.vocoder.comparison.distances import log_spectral_distance_db, mel_cepstral_distortion_db, melody

RATE = 16000


def voice(hz, seconds=1.5):
    """A pulse-like tone of many harmonics, silent at its ends."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    x = sum(np.sin(2 * np.pi * k * hz * time_s) / k for k in range(1, 25))
    x[: RATE // 4] = x[-RATE // 4 :] = 0
    return (0.1 * x).astype(np.float32)


def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def test_pitch_is_first_tracked_while_no_other_process_compiles_for_it(monkeypatch):
    """librosa's functions are compiled into files of all processes, which two at once would spoil for every other."""
    held = []

    def pyin(x, **_):
        try:
            with FileLock(lock, timeout=0):
                held.append(False)
        except Timeout:
            held.append(True)
        return np.full(200, 150.0), np.ones(200, bool), None

    monkeypatch.setattr(distances.librosa, "pyin", pyin)
    distances._compile.cache_clear()
    lock = compile_lock().lock_file
    for _ in range(2):
        melody(voice(150), voice(150), RATE)
    distances._compile.cache_clear()
    assert held == [True, False, False, False, False]


def test_the_same_is_at_no_distance():
    x = voice(150)
    assert mel_cepstral_distortion_db(x, x, RATE) == log_spectral_distance_db(x, x, RATE) == 0
    found = melody(x, x, RATE)
    assert (found.f0_rmse_hz, found.voicing_error) == (0, 0)


def test_a_gain_is_as_far_as_its_decibels_and_not_a_cepstral_distortion():
    x = noise()
    assert log_spectral_distance_db(2 * x, x, RATE) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert mel_cepstral_distortion_db(2 * x, x, RATE) == pytest.approx(0, abs=1e-4)


def test_one_cepstrum_is_as_far_as_the_definition_says(monkeypatch):
    """Log magnitudes that differ by 2 c cos(3 w) have cepstra 3 that differ by c."""
    w = np.pi * (np.arange(distances.BANDS) + 0.5) / distances.BANDS
    ripple = np.exp(2 * 2 * 0.25 * np.cos(3 * w))  # of power
    powers = np.stack([np.tile(ripple, (4, 1)), np.ones((4, distances.BANDS))])
    monkeypatch.setattr(distances, "_powers", lambda *_: (powers, np.ones(4, bool)))
    monkeypatch.setattr(distances, "_bands", lambda *_: np.eye(distances.BANDS))
    expected = 10 * np.sqrt(2) / np.log(10) * 0.25
    assert mel_cepstral_distortion_db(noise(), noise(), RATE) == pytest.approx(expected, rel=1e-6)


def test_another_pitch_is_found_and_lost_voicing_counted():
    found = melody(voice(165), voice(150), RATE)
    assert found.f0_rmse_hz == pytest.approx(15, abs=1.5) and found.voicing_error < 0.1
    hiss = noise()[: RATE // 2]
    x = voice(150)
    mixed = x.copy()
    mixed[RATE // 2 : RATE] = hiss
    assert 0.3 < melody(mixed, x, RATE).voicing_error < 0.7


def test_signals_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="must be rows of equal length"):
        log_spectral_distance_db(noise()[:-1], noise(), RATE)
    with pytest.raises(DataError, match="silent"):
        melody(noise(), 0 * noise(), RATE)
