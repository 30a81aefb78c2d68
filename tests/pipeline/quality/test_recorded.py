"""Clipping and bandwidth at the recording's own rate, by stretches of a stream."""

import numpy as np
import pytest
import soxr

from clean_corpus.pipeline.quality import signal_measures
from clean_corpus.pipeline.quality.recorded import PIECE_S, RecordedMeasures
from tests.support import signals

RATE = 48000


def as_16_bit(x: np.ndarray) -> np.ndarray:
    return (np.round(x * 32768) / 32768).astype(np.float32)


def measures(*sides: np.ndarray, reach_s: float = 60.0, rate: int = RATE) -> RecordedMeasures:
    frames = np.stack(sides, axis=1)
    found = RecordedMeasures(rate, step=signal_measures.quantisation_step(frames), reach_s=reach_s)
    for part in np.split(frames, [1, 5000, 5001, 90000]):
        found.push(part, part.mean(axis=1))
    found.finish()
    return found


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Full-band speech at 48 kHz, its peak at full scale."""
    x = soxr.resample(signals.speech(4, seed=1), 16000, RATE)
    x += 1e-3 * np.random.default_rng(0).standard_normal(len(x))
    return x / np.abs(x).max()


def test_clipping_at_half_scale_is_seen_at_48_khz_and_not_after_resampling(speech):
    clipped = as_16_bit(np.clip(speech, -0.5, 0.5))
    ratio, *_ = measures(clipped).of(0, 4)
    assert ratio == pytest.approx(np.mean(np.abs(speech) >= 0.5), rel=0.1) and ratio > 0.002
    assert signal_measures.clipping_ratio(soxr.resample(clipped, RATE, 16000)) < 0.0005


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.003])
def test_speech_that_is_not_clipped_is_not_at_any_level(speech, gain):
    for x in (as_16_bit(gain * speech), (gain * speech).astype(np.float32)):
        assert measures(x).of(0, 4)[0] == 0


@pytest.mark.parametrize("gain", [0.5, 0.02])
@pytest.mark.parametrize("cutoff_hz", [4000, 8000, 16000])
def test_what_holds_nothing_above_a_frequency_says_so_at_any_level(speech, cutoff_hz, gain):
    narrow = soxr.resample(soxr.resample(speech, RATE, 2 * cutoff_hz), 2 * cutoff_hz, RATE)[: 4 * RATE]
    assert 0.9 * cutoff_hz < measures(as_16_bit(gain * narrow)).of(0, 4)[1] < cutoff_hz + 100
    assert 0.9 * cutoff_hz < measures((1e-3 * gain * narrow).astype(np.float32)).of(0, 4)[1] < cutoff_hz + 100
    assert measures(as_16_bit(gain * speech)).of(0, 4)[1] == RATE / 2


def test_a_stretch_has_its_own_measures(speech):
    x = as_16_bit(np.concatenate([speech, np.clip(4 * speech, -0.5, 0.5), speech]))
    found = measures(x)
    assert found.of(0, 4)[0] == 0 == found.of(8, 4)[0]
    assert found.of(4, 4)[0] == pytest.approx(signal_measures.clipping_ratio(x[4 * RATE : 8 * RATE]), rel=0.1)
    assert found.of(0, 12)[0] == pytest.approx(found.of(4, 4)[0] / 3, rel=1e-3)


def test_of_channels_that_are_mixed_the_worst_counts(speech):
    clipped = np.clip(2 * speech, -0.5, 0.5)
    both = as_16_bit(clipped), as_16_bit(np.roll(clipped, 300))
    ratio = signal_measures.clipping_ratio(both[0])
    assert signal_measures.clipping_ratio((both[0] + both[1]) / 2) < 0.1 * ratio
    assert measures(*both).of(0, 4)[0] == pytest.approx(measures(both[0]).of(0, 4)[0], rel=0.05) and ratio > 0.01


def test_silence_and_what_is_shorter_than_a_frame_have_no_bandwidth():
    assert measures(np.zeros(RATE, np.float32)).of(0, 1) == (0.0, None, None)
    assert measures(np.ones(99, np.float32)).of(0, 99 / RATE) == (0.0, None, None)
    assert measures(np.ones(99, np.float32)).of(5, 1) == (None, None, None)


def test_memory_does_not_grow_with_the_recording(speech):
    found = measures(as_16_bit(np.tile(speech, 3)), reach_s=2.0)
    assert len(found._known) == round(2.0 / PIECE_S) + 2
    assert found.of(11, 1)[1] == RATE / 2
