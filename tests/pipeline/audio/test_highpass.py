"""Mean and rumble taken out of a stream: by frequency, at both ends, and whatever the blocks."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio.highpass import without_rumble
from tests.support import signals

RATE = 16000


def filtered(*blocks: np.ndarray, rate: int = RATE) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *without_rumble(blocks, sample_rate=rate)])


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize(("freq_hz", "left_db", "at_ends"), [(5, -75, 0.12), (10, -75, 0.25), (20, -55, 0.55)])
def test_rumble_goes(freq_hz, left_db, at_ends, rate):
    for delay in (0, rate // freq_hz // 8, rate // freq_hz // 4):
        x = signals.tone(freq_hz, 3, rate)[delay:]
        y = filtered(x, rate=rate)
        assert 20 * np.log10(np.std(y[rate:-rate]) / np.std(x)) < left_db
        assert np.abs(y).max() < at_ends * np.abs(x).max()


@pytest.mark.parametrize("freq_hz", [45, 50, 65, 100, 7000])
def test_voices_stay_as_they_are_in_phase_too(freq_hz):
    x = signals.tone(freq_hz, 3, RATE)
    error = (filtered(x) - x)[RATE:-RATE]
    assert 20 * np.log10(np.std(error) / np.std(x)) < -60


@pytest.mark.parametrize("offset", [0.03, -0.9])
def test_an_offset_goes_whole_and_leaves_no_step(offset):
    x = 1e-3 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    y = filtered(x + np.float32(offset))
    np.testing.assert_allclose(y, filtered(x), atol=1e-7 + 1e-7 * abs(offset))
    assert np.abs(y[:80]).max() < 6e-3 and np.abs(y[-80:]).max() < 6e-3


@pytest.mark.parametrize("n", [1, 2, 100, 2047, 2048, 2049, 28672, 28673, 30721, 40000])
def test_the_length_stays_and_the_blocks_do_not_matter(n):
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    whole = filtered(x)
    assert len(whole) == n and whole.dtype == np.float32
    cuts = sorted({0, 1, n // 3, n // 2, n - 1})
    np.testing.assert_array_equal(filtered(*np.split(x, cuts)), whole)


def test_nothing_gives_nothing():
    assert list(without_rumble([], sample_rate=RATE)) == []
    assert not filtered(np.zeros(5000, np.float32)).any()
