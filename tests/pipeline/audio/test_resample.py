"""A tone keeps its frequency and level at another rate; a stream equals the whole, however it is cut."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio.resample import ResampledStream, resample


def tone(sample_rate: int, duration_s: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * 997 * np.arange(round(duration_s * sample_rate)) / sample_rate).astype(np.float32)


@pytest.mark.parametrize("rate_in", [8000, 22050, 48000])
def test_a_tone_stays_the_same_tone(rate_in):
    x = resample(tone(rate_in), rate_in, 16000)
    assert x.shape == (16000,)
    inner = slice(2000, -2000)  # the tone's hard ends ring
    np.testing.assert_allclose(x[inner], tone(16000)[inner], atol=1e-3)


def test_equal_rates_change_nothing():
    x = tone(16000)
    assert resample(x, 16000, 16000) is x


@pytest.mark.parametrize("size", [1, 100, 7777])
def test_a_stream_equals_the_whole_however_it_is_cut(size):
    x = tone(44100, 0.2)
    stream = ResampledStream(44100, 16000)
    blocks = [stream.push(x[i : i + size]) for i in range(0, len(x), size)]
    # soxr resamples in its own blocks either way; float32 rounding is all that may differ
    np.testing.assert_allclose(np.concatenate([*blocks, stream.flush()]), resample(x, 44100, 16000), atol=1e-6)


def test_channels_are_resampled_alike():
    x = np.stack([tone(8000), np.zeros(8000, np.float32)], axis=1)
    y = resample(x, 8000, 16000)
    np.testing.assert_array_equal(y[:, 0], resample(tone(8000), 8000, 16000))
    assert y.shape == (16000, 2) and not y[:, 1].any()
