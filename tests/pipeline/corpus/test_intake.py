"""How a recording is taken in: the gain at which voices are looked for, over the time of a recording."""

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.corpus.intake import LISTENING_DB, LOCAL_DB, NOTHING_DB, look_over
from clean_corpus.pipeline.quality.channels import LOCAL_S
from tests.support import signals

RATE = 8000


@pytest.fixture
def intake(tmp_path):
    def taken(x, **settings):
        soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
        return look_over(tmp_path / "a.wav", DecodeConfig(sample_rate=16000, **settings))

    return taken


def tone(seconds: float, level_db: float) -> np.ndarray:
    return signals.tone(500, seconds, RATE, level_db)


def level_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))


@pytest.mark.parametrize("level", [-3, -20, -60, NOTHING_DB + 3])
def test_a_recording_is_heard_at_one_level(intake, level):
    x = tone(12, level)
    assert level_db(intake(x).loudened(0, x, RATE)) == pytest.approx(LISTENING_DB, abs=0.1)


def test_nothing_stays_nothing(intake):
    for x in (np.zeros(RATE, np.float32), tone(1, NOTHING_DB - 3)):
        np.testing.assert_array_equal(intake(x).loudened(0, x, RATE), x)


def test_clicks_and_long_pauses_do_not_count(intake):
    x = np.concatenate([tone(2, -50), np.zeros(8 * RATE, np.float32), tone(2, -50)])
    x[[100, 5000]] = 1.0
    assert intake(x).gains_db == pytest.approx([LISTENING_DB + 50], abs=0.5)


def test_a_soft_speaker_is_brought_up_beside_a_loud_one_and_steadily(intake):
    x = np.concatenate([tone(30, -20), tone(30, -45), tone(30, -80)])
    found = intake(x)
    heard = found.loudened(0, x, RATE)
    for second in (5, 20, 45):
        stretch = heard[second * RATE : (second + 1) * RATE]
        assert level_db(stretch) == pytest.approx(LISTENING_DB, abs=0.1), second
    assert level_db(heard[-10 * RATE :]) == pytest.approx(LISTENING_DB - 60 + LOCAL_DB, abs=0.1), "room, not speech"
    gain = heard[RATE:] / np.where(np.abs(x[RATE:]) > 1e-6, x[RATE:], np.nan)
    steps_db = np.abs(np.diff(20 * np.log10(gain)))
    assert np.nanmax(steps_db) < 2 * LOCAL_DB / (LOCAL_S * RATE), "no jump that sounds like a word"
    parts = [found.loudened(first, x[first : first + 7777], RATE) for first in range(0, len(x), 7777)]
    np.testing.assert_allclose(np.concatenate(parts), heard, rtol=1e-4)


def test_the_gain_is_that_of_what_is_taken(intake):
    x = np.stack([tone(3, -20), -0.01 * tone(3, -20)], axis=1)
    assert intake(x).channel == 0 or intake(x).channel == "mix"
    assert intake(x, channel=1).gains_db == pytest.approx([LISTENING_DB + 60], abs=0.1)
    np.testing.assert_allclose(intake(x, channel=1).mono(x), x[:, 1], atol=1e-7)
