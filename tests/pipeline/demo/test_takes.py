"""Takes are what their table says: noise at its ratio, accidents where they were drawn."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from clean_corpus.pipeline.demo.takes import NOISES, RT60S_S, Take, draw_takes, render

TAKES = draw_takes(32, 0)


def level_db(audio: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)))


@pytest.mark.parametrize("noise", sorted({take.noise for take in TAKES if take.noise}))
def test_noise_has_the_ratio_of_the_table(noise):
    take = next(t for t in TAKES if t.noise == noise and not t.overdrive_db)
    noisy, clean = render(take, np.random.default_rng(0))
    measured_db = level_db(clean) - level_db(noisy[:, 0] - clean)
    assert measured_db == pytest.approx(take.snr_db, abs=0.5)


def test_take_without_noise_is_its_clean_reference():
    take = next(t for t in TAKES if t.noise is None and not t.overdrive_db)
    noisy, clean = render(take, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy[:, 0], clean)


def accident(**wanted: object) -> Take:
    return next(t for t in TAKES if all(getattr(t, name) == value for name, value in wanted.items()))


def test_accidents():
    stereo, _ = render(accident(channels=2), np.random.default_rng(0))
    np.testing.assert_allclose(stereo[:, 1], 0.7 * stereo[:, 0], rtol=1e-5)

    driven, clean = render(accident(overdrive_db=24.0), np.random.default_rng(0))
    assert np.mean(np.abs(driven) == 1) > 0.01
    assert np.abs(clean).max() < 1

    telephone = accident(telephone=True)
    narrow, _ = render(telephone, np.random.default_rng(0))
    freq_hz, power = signal.welch(narrow[:, 0], telephone.sample_rate, nperseg=1024)
    in_band, above = power[(freq_hz > 300) & (freq_hz < 3400)].mean(), power[freq_hz > 5000].mean()
    assert 10 * np.log10(above / in_band) < -30  # 6th order, half an octave above the edge: -36 dB at least

    quiet, _ = render(accident(level_db=-55.0), np.random.default_rng(0))
    assert level_db(quiet) == pytest.approx(-55, abs=1.5)  # speech alone; noise at 0 dB would add 3


def test_table_is_drawn_from_the_seed():
    assert draw_takes(12, 0) == draw_takes(12, 0)
    assert draw_takes(12, 0) != draw_takes(12, 1)
    assert {take.noise for take in TAKES} == set(NOISES)
    assert {take.rt60_s for take in TAKES} == set(RT60S_S)
