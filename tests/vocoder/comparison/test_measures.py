"""Measures of a comparison: what is compared with what, and what cannot be measured."""

import numpy as np
import pytest

from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, OPINIONS, measure
from tests.support.signals import speech

RATE = 16000


def test_a_recording_is_at_no_distance_from_itself():
    x = speech(2.0, seed=0)
    found = measure(x, x, RATE, text="Well, well.", heard="well swell")
    assert found.keys() == MEASURES.keys()
    assert found["mcd_db"] == found["lsd_db"] == found["f0_rmse_hz"] == found["voicing_error"] == 0
    assert found["stoi"] == pytest.approx(1, abs=1e-6) and found["pesq_wb"] > 4.6
    assert 1 < found["dnsmos_p808"] < 5 and found["word_error_rate"] == 0.5
    assert found["speaker_likeness"] in (None, pytest.approx(1, abs=1e-5))  # no voice is heard in a buzz
    noisy = measure(x + 0.05 * np.random.default_rng(0).standard_normal(len(x)).astype(np.float32), x, RATE)
    assert noisy["mcd_db"] > 1 and noisy["stoi"] < 1 and noisy["word_error_rate"] is None


def test_nothing_to_compare_with_is_none_and_so_is_silence():
    x = speech(2.0, seed=0)
    alone = measure(x, None, RATE)
    assert all(alone[name] is not None for name in (*OPINIONS, "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"))
    against = (*LOWER_IS_BETTER, "pesq_wb", "stoi", "si_sdr_db", "speaker_likeness")
    assert all(alone[name] is None for name in against)
    shorter = measure(x, x[:-80], RATE)
    assert all(shorter[name] is None for name in against), "a reference that is not aligned was compared with"
    silent = measure(0 * x, None, RATE)
    assert set(silent.values()) == {None}
    short = measure(np.ones(160, np.float32), None, RATE)
    assert set(short.values()) == {None}
