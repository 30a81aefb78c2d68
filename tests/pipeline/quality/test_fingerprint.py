"""Fingerprints: equal for equal samples, silent where nothing is heard, and one code for each 12 ms."""

import numpy as np

from clean_corpus.pipeline.quality.fingerprint import HOP_LENGTH, RATE, fingerprint, from_text, pcm_sha256, to_text
from tests.support import signals


def test_digest_rounds_and_clips_to_16_bits():
    x = np.float32([0.5, -1.0, 1.0, 1.5])
    assert pcm_sha256(x) == pcm_sha256(x + np.float32(0.4 / 32768)) == pcm_sha256(np.float32([0.5, -2.0, 2.0, 1.0]))
    assert pcm_sha256(x) != pcm_sha256(x - np.float32(0.6 / 32768))


def test_one_code_every_twelve_milliseconds():
    x = signals.speech(3, seed=0)
    codes = fingerprint(x, sample_rate=16000)
    assert abs(len(codes) - 3 * RATE / HOP_LENGTH) <= 1 and codes.dtype == np.uint32


def test_silence_has_no_code_and_sound_always_has_one():
    x = np.concatenate([signals.speech(2, seed=0), signals.silence(3, 16000)])
    codes = fingerprint(x, sample_rate=16000)
    assert not codes[-100:].any() and codes[:160].any()
    assert not fingerprint(signals.silence(1, 16000), sample_rate=16000).any()
    assert fingerprint(np.zeros(0, np.float32), sample_rate=16000).any() == np.False_


def test_a_change_of_level_changes_no_code():
    x = signals.speech(2, seed=0)
    np.testing.assert_array_equal(fingerprint(x, sample_rate=16000), fingerprint(x / 4, sample_rate=16000))


def test_text_and_back():
    codes = np.random.default_rng(0).integers(0, 2**32, 100, np.uint32)
    np.testing.assert_array_equal(from_text(to_text(codes)), codes)
