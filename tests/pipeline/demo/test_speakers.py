"""The voices of the demo: the same words sound the same, other voices other, and what cannot be spoken is named."""

import itertools
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.demo.speakers import SPEAKERS, say, speak

TEXT = "The library opens at nine."


def test_speech_is_the_same_whatever_was_said_before():
    first, sample_rate = speak(TEXT, voice="en-us+f5")
    speak("Guten Morgen.", voice="de+m2", rate_wpm=250, pitch=90)
    second, _ = speak(TEXT, voice="en-us+f5")
    assert sample_rate == 22050
    np.testing.assert_array_equal(first, second)


def test_speakers_sound_different():
    spoken = [say(speaker, "Radio.", 16000) for speaker in SPEAKERS.values()]
    for one, other in itertools.combinations(spoken, 2):
        assert len(one) != len(other) or np.abs(one - other).max() > 0.01


def pitch_hz(audio: NDArray[np.float32], sample_rate: int) -> float:
    """Highest peak of the autocorrelation between 60 and 500 Hz."""
    correlation = signal.correlate(audio, audio, method="fft")[len(audio) - 1 :]
    shortest, longest = sample_rate // 500, sample_rate // 60
    return sample_rate / (shortest + int(np.argmax(correlation[shortest:longest])))


def test_pitch_and_rate_are_followed():
    low, sample_rate = speak(TEXT, voice="en", pitch=20)
    high, _ = speak(TEXT, voice="en", pitch=80)
    fast, _ = speak(TEXT, voice="en", rate_wpm=340)
    slow, _ = speak(TEXT, voice="en", rate_wpm=170)
    assert pitch_hz(high, sample_rate) > 1.3 * pitch_hz(low, sample_rate)
    assert 0.35 < len(fast) / len(slow) < 0.65  # half as long, give or take what does not stretch


@pytest.mark.parametrize(
    ("voice", "text", "message"),
    [
        ("en-uss", TEXT, "voice 'en-uss': espeak-ng has no such language; did you mean 'en-us'"),
        ("en-us+f33", TEXT, "voice 'en-us\\+f33': espeak-ng has no variant 'f33'; did you mean 'f3'"),
        ("en", "", "voice 'en': nothing to say in ''"),
    ],
)
def test_what_cannot_be_spoken_is_named(voice, text, message):
    with pytest.raises(DataError, match=message):
        speak(text, voice=voice)
    speak(TEXT, voice="en")  # and the engine is not left half open


def test_missing_engine_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match=r"pip install clean-corpus\[demo\]"):
        speak(TEXT, voice="en")
