"""Chances of recordings: those that are noisy themselves are drawn less."""

import numpy as np
import pytest

from clean_corpus.enhancers.training.draw_weights import draw_weights, estimate_snr_db
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.core.errors import ConfigError


def test_shares_of_folders_and_durations_decide():
    speech = {
        "named": [Recording("a", np.zeros(100, np.int16)), Recording("b", np.zeros(300, np.int16))],
        "rest": [Recording("c", np.zeros(50, np.int16))],
    }
    assert draw_weights(speech, {"named": 0.8}).tolist() == pytest.approx([0.2, 0.6, 0.2])
    assert draw_weights(speech, {}).tolist() == pytest.approx([100 / 450, 300 / 450, 50 / 450])


def test_shares_that_leave_too_little_or_too_much_are_refused():
    speech = {name: [Recording(name, np.zeros(100, np.int16))] for name in ("a", "b")}
    assert draw_weights(speech, {"a": 0.7, "b": 0.3}).tolist() == pytest.approx([0.7, 0.3])
    assert draw_weights(speech | {"b": []}, {"a": 0.7}).tolist() == [1.0], "a side of which nothing was held out"
    with pytest.raises(ConfigError, match=r"mix.speech_shares sum to 1.3, all speech is 1; lower them"):
        draw_weights(speech, {"a": 0.7, "b": 0.6})
    with pytest.raises(ConfigError, match=r"sum to 0.8, all speech is 1; raise them, or leave one out"):
        draw_weights(speech, {"a": 0.7, "b": 0.1})


def test_recordings_that_are_noisy_themselves_are_drawn_less():
    """Bursts 40 and 20 dB above their pauses, with 30 dB wanted: the second has a third of its chance, by 20 log10."""
    rng = np.random.default_rng(0)
    burst = 3000 * np.sin(np.arange(32000)) * (np.arange(32000) // 4000 % 2)
    clean, noisy = (
        Recording(str(i), (burst + a * rng.standard_normal(32000)).astype(np.int16)) for i, a in enumerate((21, 210))
    )
    assert estimate_snr_db(clean.samples) == pytest.approx(40, abs=0.7)
    assert estimate_snr_db(noisy.samples) == pytest.approx(20, abs=0.7)
    assert estimate_snr_db(np.zeros(32000, np.int16)) == 0 == estimate_snr_db(clean.samples[:5000])
    weights = draw_weights({"speech": [clean, noisy]}, {}, 30.0)
    assert weights[1] / weights[0] == pytest.approx(10**-0.5, rel=0.1)
    assert draw_weights({"speech": [clean, noisy]}, {}).tolist() == [0.5, 0.5]
