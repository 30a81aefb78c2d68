"""Recordings are cut where nobody speaks, whole and the same however they arrive."""

import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio import segment, voice_activity
from clean_corpus.pipeline.audio.segment import Utterance, utterances
from clean_corpus.pipeline.audio.synthetic import clicks, coloured_noise, mains_hum, wind
from clean_corpus.pipeline.audio.voice_activity import SpeechDetector, speech_mask, speech_s
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Audio
from tests.support.paths import DATA

RATE = 16000
CONFIG = SegmentConfig()
needs_data = pytest.mark.skipif(not (DATA / "speech" / "dev").is_dir(), reason=f"no recordings in {DATA}/speech/dev")


def _blocks(x: Audio, size: int) -> Iterator[Audio]:
    return (x[i : i + size] for i in range(0, len(x), size))


def _cut(x: Audio, config: SegmentConfig = CONFIG, sample_rate: int = RATE) -> list[Utterance]:
    return list(utterances([x], config, sample_rate=sample_rate))


def _noise(seed: int, n_samples: int, level_db: float) -> Audio:
    return coloured_noise(np.random.default_rng(seed), n_samples, slope=1) * np.float32(10 ** (level_db / 20))


@pytest.fixture(scope="module")
def real() -> list[Audio]:
    """Real sentences without the silence around them."""
    sentences = []
    for path in sorted((DATA / "speech" / "dev").rglob("*.flac"))[::3]:
        x, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE
        heard = np.flatnonzero(speech_mask(x, 0.5, sample_rate=RATE)) * voice_activity.WINDOW
        sentences.append(x[heard[0] : heard[-1] + voice_activity.WINDOW])
    return sentences


def _with_pauses(sentences: list[Audio], pause: Audio) -> tuple[Audio, list[tuple[int, int]]]:
    """Sentences with a pause after each, and where the sentences lie."""
    places, start = [], 0
    for x in sentences:
        places.append((start, start + len(x)))
        start += len(x) + len(pause)
    return np.concatenate([part for x in sentences for part in (x, pause)]), places


def _assert_sound(x: Audio, cut: list[Utterance], *, config: SegmentConfig = CONFIG, sample_rate: int = RATE) -> None:
    """What holds of every cut: order, length, the recording's own samples."""
    assert all(a.start + len(a.samples) <= b.start for a, b in pairwise(cut))
    for one in cut:
        assert 0 < len(one.samples) <= config.max_s * sample_rate
        np.testing.assert_array_equal(one.samples, x[one.start : one.start + len(one.samples)])


@pytest.mark.parametrize("pause", [np.zeros(RATE, np.float32), _noise(0, RATE, -60)], ids=["digital", "noise"])
def test_cuts_lie_in_the_pauses(voice, pause):
    x, places = _with_pauses([voice] * 5, pause)
    cut = _cut(x)
    _assert_sound(x, cut)
    assert len(cut) == 5
    # padding, the network's own delay of a few windows, and half of the pause as the furthest that is right
    margin = len(pause) // 2
    for one, (start, end) in zip(cut, places, strict=True):
        assert start - margin <= one.start <= start + 0.05 * RATE
        assert end - 0.05 * RATE <= one.start + len(one.samples) <= end + margin


@needs_data
@pytest.mark.parametrize("level_db", [-np.inf, -60], ids=["digital", "noise"])
def test_cuts_of_real_speech_lie_in_the_pauses(real, level_db):
    x, places = _with_pauses(real, _noise(0, int(2.5 * RATE), level_db))
    cut = _cut(x)
    _assert_sound(x, cut)
    edges = np.array([edge for one in cut for edge in (one.start, one.start + len(one.samples))])
    for start, end in places:  # every pause of 2.5 s is a cut, and no sentence loses its beginning or end
        assert np.any((edges >= end - 0.05 * RATE) & (edges <= end + RATE / 2))
        assert np.any((edges >= start - RATE / 2) & (edges <= start + 0.05 * RATE))
    assert sum(one.speech_s for one in cut) == pytest.approx(speech_s(speech_mask(x, 0.5, sample_rate=RATE)))


@needs_data
def test_speech_of_a_hard_cut_is_conserved(real):
    """Sentences without a pause: cut inside, nothing lost between the pieces."""
    x = np.concatenate(real[:10])
    config = SegmentConfig(max_s=4.0, min_pause_ms=2000)
    cut = _cut(x, config)
    _assert_sound(x, cut, config=config)
    covered = np.zeros(len(x), np.bool_)
    for one in cut:
        covered[one.start : one.start + len(one.samples)] = True
    speech = np.repeat(speech_mask(x, 0.5, sample_rate=RATE), voice_activity.WINDOW)[: len(x)]
    assert covered[speech].all()
    assert min(len(one.samples) for one in cut) >= config.min_s * RATE
    # a cut takes the deepest pause in reach: quieter than the speech, 10 dB at the median
    level = np.sqrt(np.convolve(np.square(x), np.ones(voice_activity.WINDOW) / voice_activity.WINDOW, "same"))
    at = [a.start + len(a.samples) for a in cut[:-1]]
    assert np.median(level[at]) < np.sqrt(np.mean(np.square(x))) / 10**0.5


def test_endless_speech_is_cut_where_it_is_quietest(monkeypatch):
    """The detector says speech throughout: the dips in level decide."""

    def certain(self, x):
        self._rest = np.concatenate((self._rest, x))
        n_windows = len(self._rest) // voice_activity.WINDOW
        self._rest = self._rest[n_windows * voice_activity.WINDOW :]
        return np.ones(n_windows, np.float32)

    monkeypatch.setattr(SpeechDetector, "_detect", certain)
    x = _noise(0, 60 * RATE, -20)
    dips = np.arange(8, 60, 8) * RATE
    for dip in dips:
        x[dip - 800 : dip + 800] *= np.float32(0.01)
    config = SegmentConfig(max_s=10.0)
    cut = _cut(x, config)
    _assert_sound(x, cut, config=config)
    np.testing.assert_allclose([one.start for one in cut[1:]], dips, atol=800)
    assert sum(len(one.samples) for one in cut) == len(x)


@pytest.mark.parametrize("size", [1000, 10 * RATE, 10**9])
def test_cut_does_not_depend_on_the_blocks(voice, size):
    x, _ = _with_pauses([voice] * 6, _noise(1, RATE // 2, -60))
    for sample_rate in (RATE, 22050):
        expected = _cut(x, sample_rate=sample_rate)
        found = list(utterances(_blocks(x, size), CONFIG, sample_rate=sample_rate))
        assert [(u.start, u.speech_s) for u in found] == [(u.start, u.speech_s) for u in expected]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
def test_other_rates_are_cut_at_the_same_times(voice, sample_rate):
    x, _ = _with_pauses([voice] * 5, np.zeros(RATE, np.float32))
    y = soxr.resample(x, RATE, sample_rate)
    cut = _cut(y, sample_rate=sample_rate)
    _assert_sound(y, cut, sample_rate=sample_rate)
    # two windows: the network hears the resampler's band edge
    np.testing.assert_allclose(
        [one.start / sample_rate for one in cut],
        [one.start / RATE for one in _cut(x)],
        atol=2 * voice_activity.WINDOW_S,
    )


def test_short_recording_is_one_utterance(voice):
    x = np.pad(voice[: 3 * RATE], 8 * RATE)  # 19 s, of which 3 s are speech
    (one,) = utterances(_blocks(x, 777), CONFIG, sample_rate=RATE)
    pad = CONFIG.pad_ms * RATE // 1000
    assert one.speech_start == pad and one.start == pytest.approx(8 * RATE - pad, abs=0.01 * RATE)
    assert 3.2 * RATE < len(one.samples) < 3.45 * RATE
    np.testing.assert_array_equal(one.samples, x[one.start : one.end])
    (whole,) = _cut(x, SegmentConfig(trim=False))
    np.testing.assert_array_equal(whole.samples, x)
    assert 2.4 < one.speech_s < 3.2
    assert _cut(np.zeros(0, np.float32)) == []
    (silence,) = _cut(np.zeros(int(CONFIG.max_s * RATE), np.float32))
    assert (len(silence.samples), silence.speech_s) == (CONFIG.max_s * RATE, 0.0)


def test_word_alone_is_joined_where_it_can_be(voice):
    """1.2 s after a sentence a short word joins it; far from all others it stands alone, under min_s."""
    word = voice[: RATE // 2]
    gap = np.zeros(int(1.2 * RATE), np.float32)
    far = np.zeros(8 * RATE, np.float32)
    cut = _cut(np.concatenate((far, voice, gap, word, far, word, far)))
    assert len(cut) == 2
    assert len(cut[0].samples) > len(voice) + len(gap) + 0.3 * RATE
    assert 0 < len(cut[1].samples) < CONFIG.min_s * RATE


N = 30 * RATE
TIME_S = np.arange(N) / RATE


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(N, np.float32),
        np.full(N, 0.3, np.float32),
        np.float32(0.3 * np.sin(2 * np.pi * 440 * TIME_S)),
        0.1 * coloured_noise(np.random.default_rng(0), N, slope=0),
        0.1 * coloured_noise(np.random.default_rng(0), N, slope=1),
        0.1 * mains_hum(np.random.default_rng(0), N, sample_rate=RATE, mains_hz=50.0),
        0.1 * clicks(np.random.default_rng(0), N, sample_rate=RATE, per_s=3.0),
        0.1 * wind(np.random.default_rng(0), N, sample_rate=RATE),
    ],
    ids=["silence", "dc", "tone", "white", "pink", "hum", "clicks", "wind"],
)
def test_no_speech_gives_no_utterance(x):
    assert _cut(x) == []


def test_no_room_between_the_paddings_is_refused():
    with pytest.raises(ConfigError, match=r"max_s 0\.3 s .*pad_ms of 150 ms"):
        _cut(np.zeros(RATE, np.float32), SegmentConfig(max_s=0.3))


def test_memory_and_time_of_a_long_recording(voice, monkeypatch):
    """10 minutes: what is held stays under max_s + min_s and two blocks; faster than 50 times real time."""
    held = []
    forget = segment._Segmenter._forget

    def watch(self):
        held.append(len(self._audio))
        forget(self)

    monkeypatch.setattr(segment._Segmenter, "_forget", watch)
    # as much as can wait: almost max_s, a pause that may join, and as much again
    minute = np.resize(np.concatenate((voice, voice, voice, np.zeros(int(0.4 * RATE), np.float32))), 60 * RATE)
    started = time.process_time()
    cut = list(utterances((minute for _ in range(10)), CONFIG, sample_rate=RATE))
    took_s = time.process_time() - started
    print(f"real-time factor {took_s / 600:.5f}")
    assert len(cut) > 30
    assert max(held) <= (CONFIG.max_s + CONFIG.min_s + 2 * segment.BLOCK_S) * RATE
    assert took_s < 600 / 50
