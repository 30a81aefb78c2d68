"""Clips are trimmed to their speech and never into it, at every rate, and last a multiple of 40 ms where they can."""

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio import segment
from clean_corpus.pipeline.audio.edges import Edges, find_edges
from clean_corpus.pipeline.audio.segment import utterances
from clean_corpus.pipeline.audio.voice_activity import WINDOW, speech_mask
from clean_corpus.pipeline.core.config import SegmentConfig
from tests.support.paths import DATA

RATE = 16000
FILES = sorted((DATA / "speech/english_48k/wavs").glob("*.ogg"))[::90]


def noise(seconds, level_db, rate=RATE, seed=0):
    x = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 10 ** (level_db / 20)
    return x.astype(np.float32)


def burst(start_s, end_s, x, level_db=-20.0, seed=1):
    """Add noise that stands for speech between two times."""
    first, last = round(start_s * RATE), round(end_s * RATE)
    x[first:last] += noise((last - first) / RATE, level_db, seed=seed)[: last - first]


def windows(x, *spans_s):
    speech = np.zeros(-(-len(x) // WINDOW), np.bool_)
    for start_s, end_s in spans_s:
        speech[round(start_s * RATE / WINDOW) : round(end_s * RATE / WINDOW)] = True
    return speech


def edges_s(x, speech, pad_s=0.15, max_s=20.0) -> tuple[float, ...]:
    found = find_edges(x, speech, pad_s=pad_s, max_s=max_s, sample_rate=RATE)
    assert (found.end - found.start) % (RATE // 25) == 0
    return tuple(value / RATE for value in (found.start, found.speech_start, found.speech_end, found.end))


def test_a_soft_beginning_and_a_plosive_behind_a_closure_belong_to_the_speech():
    """The detector hears 1 to 2 s; a hiss begins 100 ms before, and 50 ms behind the end a burst follows."""
    x = noise(4, -70)
    for start_s, end_s, level_db in ((1.0, 1.97, -20), (0.9, 1.0, -50), (2.02, 2.04, -50)):
        burst(start_s, end_s, x, level_db)
    start, first, last, end = edges_s(x, windows(x, (1.024, 1.984)))
    assert (first, last) == pytest.approx((0.9, 2.04), abs=0.006)
    assert start == pytest.approx(0.75, abs=0.006) and 2.185 < end < 2.235


def test_what_is_not_connected_or_below_the_noise_does_not_belong_to_it():
    x = noise(4, -50)
    for start_s, end_s, level_db in ((1.024, 1.984, -20), (0.3, 0.7, -30), (2.1, 2.4, -55)):
        burst(start_s, end_s, x, level_db)
    _, first, last, _ = edges_s(x, windows(x, (1.024, 1.984)))
    assert (first, last) == pytest.approx((1.024, 1.984), abs=0.006)


def test_silence_in_the_windows_of_the_detector_counts_as_padding():
    x = noise(4, -70)
    burst(1.1, 1.8, x)
    start, first, last, end = edges_s(x, windows(x, (1.024, 1.984)))
    assert (first, last) == pytest.approx((1.1, 1.834), abs=0.006), "no further inward than the padding"
    assert start == pytest.approx(0.95, abs=0.006) and end >= 1.984


def test_a_word_alone_keeps_as_much_of_its_silence_as_a_clip_must_have():
    x = noise(4, -70)
    burst(3.2, 3.6, x)
    found = find_edges(x, windows(x, (3.2, 3.6)), pad_s=0.15, min_s=1.0, max_s=20, sample_rate=RATE)
    assert 1.0 <= (found.end - found.start) / RATE < 1.04 and found.speech_start == pytest.approx(3.2 * RATE, abs=100)


def test_without_room_padding_shrinks_and_speech_stays():
    x = noise(2, -70)[: 2 * RATE - 100]
    burst(0, 1.99, x)
    found = find_edges(x, windows(x, (0, 2)), pad_s=0.15, max_s=20, sample_rate=RATE)
    assert found == Edges(0, len(x), 0, 31760), "not a multiple of 40 ms, for there is nothing that may go"
    quiet = noise(3, -70)
    burst(0.2, 2.6, quiet)
    found = find_edges(quiet, windows(quiet, (0.192, 2.592)), pad_s=0.5, max_s=2.8, sample_rate=RATE)
    assert found.end - found.start <= 2.8 * RATE and found.start <= 0.192 * RATE and found.end >= 2.592 * RATE
    with pytest.raises(ValueError, match="no window"):
        find_edges(x, windows(x), pad_s=0.1, max_s=20, sample_rate=RATE)


@pytest.mark.skipif(not FILES, reason=f"no recordings in {DATA}/speech/english_48k")
@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_nothing_that_is_heard_of_real_speech_is_lost(rate):
    """Read sentences in noise at -60 dB: what of them stands out of it, and of their own noise, lies in the clip."""
    lost_ms = []
    for number, path in enumerate(FILES):
        x, rate_in = soundfile.read(path, dtype="float32")
        x = np.pad(soxr.resample(x, rate_in, rate), rate)
        noisy = x + noise(len(x) / rate + 1, -60, rate, number)[: len(x)]
        (found,) = utterances([noisy], SegmentConfig(), sample_rate=rate)
        assert len(found.samples) % (rate // 25) == 0
        frame = rate // 200
        power = np.square(x[: len(x) // frame * frame].reshape(-1, frame)).mean(axis=1)
        own_noise = np.percentile(power[power > 1e-11], 5)
        heard = np.flatnonzero(power > max(2e-6, 16 * own_noise)) * frame
        lost_ms.append(5 * np.count_nonzero((heard < found.start) | (heard + frame > found.end)))
        assert found.speech_start >= 0.1 * rate and len(found.samples) - found.speech_end >= 0.1 * rate
    print("lost ms", lost_ms)
    assert max(lost_ms) <= 10


def test_a_click_far_from_the_words_is_not_speech(voice):
    x = np.concatenate((noise(0.1, -30), noise(3, -80), voice, noise(3, -80)))
    mask = speech_mask(x, 0.5, sample_rate=RATE)
    mask[1] = True
    one = segment._whole(x, mask, SegmentConfig(), RATE)
    assert one.start > 2.5 * RATE and one.end < 3.5 * RATE + len(voice)
