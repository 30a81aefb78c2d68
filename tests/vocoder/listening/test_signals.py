"""Tones of the headphone check, by level and phase, and beeps that can be counted."""

import numpy as np
import pytest

from clean_corpus.vocoder.listening.signals import headphone_tones, with_beeps
from tests.support.listening import RATE


def test_headphone_tones_by_level_and_phase():
    x = headphone_tones(quiet=2, antiphase=0, sample_rate=8000)
    assert x.shape == (8000 * 4, 2)  # three of 1 s, two pauses of 0.5 s
    tones = [x[at : at + 8000] for at in (0, 12000, 24000)]
    level_db = [10 * np.log10(np.mean(np.square(t[:, 0]))) for t in tones]
    assert level_db[0] == pytest.approx(level_db[1], abs=1e-4)
    assert level_db[1] - level_db[2] == pytest.approx(6.0, abs=1e-4)
    assert np.array_equal(tones[0][:, 0], -tones[0][:, 1])  # over loudspeakers, nothing is left of it
    assert all(np.array_equal(t[:, 0], t[:, 1]) for t in tones[1:])


def test_beeps_can_be_counted():
    x = with_beeps(np.zeros(100, np.float32), RATE, 3)
    loud = np.abs(x) > 0.05
    envelope = np.convolve(loud, np.ones(400), "same") > 0
    assert np.sum(np.diff(envelope.astype(int)) == 1) == 3
