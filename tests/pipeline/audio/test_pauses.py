"""Long pauses within a clip are shortened without a click, and the clip says what is missing."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio.pauses import shortened, without
from clean_corpus.pipeline.audio.segment import utterances
from clean_corpus.pipeline.core.config import SegmentConfig


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_the_middle_of_a_long_pause_goes(rate):
    hop = 0.032 * rate
    speech = np.array([True] * 20 + [False] * 50 + [True] * 20 + [False] * 10 + [True] * 5)
    x = 0.001 * np.random.default_rng(0).standard_normal(int(len(speech) * hop)).astype(np.float32)
    x[: int(20 * hop)] += 0.3
    y, ((first, length),) = shortened(x, speech, hop, max_pause_s=0.5, sample_rate=rate)
    assert length % (rate // 25) == 0 and 1.06 * rate < length <= 1.1 * rate and len(y) == len(x) - length
    assert 20 * hop + 0.2 * rate < first and first + length < 70 * hop - 0.2 * rate
    np.testing.assert_array_equal(y[:first], x[:first])
    fade = round(0.01 * rate)
    np.testing.assert_array_equal(y[first + fade :], x[first + length + fade :])
    assert np.abs(np.diff(y[first - 5 : first + fade + 5])).max() < 0.01, "no click"
    np.testing.assert_array_equal(without(x, [(first, length)], rate), y)
    assert shortened(x, speech, hop, max_pause_s=2.0, sample_rate=rate)[1] == ()


def test_a_clip_says_what_is_missing_in_it(voice):
    x = np.concatenate(
        (np.zeros(8000, np.float32), voice, np.zeros(40000, np.float32), voice, np.zeros(8000, np.float32))
    )
    (one,) = utterances([x], SegmentConfig(max_pause_s=0.6), sample_rate=16000)
    (whole,) = utterances([x], SegmentConfig(), sample_rate=16000)
    (at, length), *_ = one.removed
    assert (one.start, one.end) == (whole.start, whole.end) and length > 1.6 * 16000
    np.testing.assert_array_equal(without(x[one.start : one.end], one.removed, 16000), one.samples)
    assert one.speech_end == len(one.samples) - (len(whole.samples) - whole.speech_end)
    assert 5000 < at < len(voice) + 40000
