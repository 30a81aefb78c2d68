"""Measures of a comparison: what is compared with what, and what cannot be measured."""

import numpy as np
import pytest

from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, OPINION, PREDICTED, measure
from tests.support.signals import speech

RATE = 16000


def test_a_recording_is_at_no_distance_from_itself():
    x = speech(2.0, seed=0)
    found = measure(x, x, x, RATE)
    assert found.keys() == MEASURES.keys()
    assert found["mcd_db"] == found["lsd_db"] == found["f0_rmse_hz"] == found["voicing_error"] == 0
    assert found["stoi"] == pytest.approx(1, abs=1e-6) and found["pesq_wb"] > 4.6
    assert 1 < found[OPINION] < 5


def test_nothing_to_compare_with_is_none_and_so_is_silence():
    x = speech(2.0, seed=0)
    alone = measure(x, None, None, RATE)
    assert all(alone[name] is not None for name in PREDICTED)
    assert all(alone[name] is None for name in (*LOWER_IS_BETTER, "pesq_wb", "stoi", "si_sdr_db"))
    silent = measure(0 * x, None, None, RATE)
    assert set(silent.values()) == {None}
    short = measure(np.ones(160, np.float32), None, None, RATE)
    assert set(short.values()) == {None}
