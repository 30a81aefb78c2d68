"""Which channel of a recording is taken: mixes that are good stay mixes, and each fault is named with its channel."""

import re

import numpy as np
import pytest

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.quality import channels
from clean_corpus.pipeline.quality.channels import choose, mono, survey
from tests.support import signals

RATE = 16000
SECONDS = 4


def speech(seed: int = 0) -> np.ndarray:
    room = 1e-4 * np.random.default_rng(9).standard_normal(SECONDS * RATE)
    return (signals.speech(SECONDS, seed=seed) + room).astype(np.float32)


def noise(level_db: float, seed: int = 1) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(SECONDS * RATE) * 10 ** (level_db / 20)
    return x.astype(np.float32)


def turns(first: bool) -> np.ndarray:
    """One of two speakers who take turns: silent while the other speaks, but for the room."""
    x = speech(2 if first else 3).copy()
    half = len(x) // 2
    quiet = slice(half, None) if first else slice(0, half)
    x[quiet] = noise(-80)[quiet]
    return x


def dropping(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[RATE : 2 * RATE] = 0
    return x


def gated(x: np.ndarray) -> np.ndarray:
    """The same, zero where it is soft for 50 ms."""
    blocks = x.reshape(-1, RATE // 20)
    return np.where(np.abs(blocks).max(axis=1, keepdims=True) > 1e-3, blocks, 0).ravel().astype(np.float32)


def click(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[RATE : RATE + 40] = 0.99
    return x


def chosen(*sides: np.ndarray, rate: int = RATE):
    return choose(survey([np.stack(sides, axis=1)], rate, len(sides)), "mix")


X = speech()
GOOD = {
    "equal": (X, X),
    "one quieter": (X, 0.1 * X),
    "two microphones, one 2 ms later": (X, np.roll(X, 32) + noise(-60)),
    "two speakers of a call": (turns(True), turns(False)),
    "two speakers of a call, one clipped": (np.clip(turns(True), -0.1, 0.1), turns(False)),
    "a gate between the words of one": (X, np.where(np.abs(X) > 1e-3, X, 0).astype(np.float32)),
    "two speakers of a call, gated": (gated(turns(True)), gated(turns(False))),
    "two speakers of a call, one gated": (turns(True), gated(turns(False))),
    "a gate between the sentences of one": (X, gated(X)),
    "independent noise, as much in each": (X + noise(-40, 2), X + noise(-40, 3)),
    "a click in one": (click(X), X),
    "silence": (0 * X, 0 * X),
    "eight": tuple(X + noise(-60, i) for i in range(8)),
}


@pytest.mark.parametrize("name", GOOD)
def test_channels_that_are_good_are_mixed(name):
    assert chosen(*GOOD[name]) == ("mix", None)


BROKEN = {
    "silent": ((0 * X, X), 1, "channel 0 is silent"),
    "an offset and nothing else": ((X, 0 * X + np.float32(0.1)), 0, "channel 1 is silent"),
    "its own noise": ((X, noise(-90)), 0, r"channel 1 is silent: \d\d dB lower"),
    "noise": (
        (noise(-20), X),
        1,
        r"channel 0 is noisy: its speech is \d dB above its background, \d\d dB in channel 1",
    ),
    "speech in noise": ((X, X + noise(-35)), 0, "channel 1 is noisy"),
    "clipped": ((X, np.clip(4 * X, -0.5, 0.5)), 0, r"channel 1 is clipped: 0\.\d+ of its samples"),
    "clipped, then lowered": ((np.clip(4 * X, -0.5, 0.5) / 16, X), 1, "channel 0 is clipped"),
    "not a number": ((X, np.where(np.arange(len(X)) == 70, np.nan, X)), 0, "channel 1 holds samples that are not fin"),
    "upside down": ((X, -X), 0, "channels cancel: 100% of the sound is lost in their mix"),
    "upside down and quieter": ((-0.5 * X, X), 1, "channels cancel"),
    "upside down, with noises": ((X + noise(-60, 2), noise(-60, 3) - 0.9 * X), 0, "channels cancel"),
    "upside down in the second half": ((np.where(np.arange(len(X)) < len(X) // 2, X, -X), 1.1 * X), 1, "cancel: [3-7]"),
    "drop-outs": ((dropping(X), X), 1, r"channel 0 drops out for \d+% of the sound"),
    "drop-outs beside noise": ((X + noise(-50), dropping(X)), 0, "channel 1 drops out"),
    "a buzz": ((X, 0.2 * np.sign(signals.tone(50, SECONDS, RATE))), 0, "channel 1 is noisy"),
    "a buzz beside digital silence": ((gated(X), X + noise(-35)), 0, "channel 1 is noisy"),
    "two faults": ((0 * X, X + noise(-30), X), 2, "channel 0 is silent; channel 1 is noisy"),
    "upside down with offsets": ((X + 0.2, -X + 0.1), 0, "channels cancel"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_channel_with_a_fault_is_not_mixed_in(name):
    sides, wanted, why = BROKEN[name]
    channel, found = chosen(*(side.astype(np.float32) for side in sides))
    assert channel == wanted
    assert re.search(why, found), found


def test_a_recording_of_one_channel_is_that_channel_and_a_setting_is_obeyed():
    assert choose(survey([X[:, None]], RATE, 1), "mix") == (0, None)
    assert choose(survey([np.stack([X, 0 * X], axis=1)], RATE, 2), 1) == (1, None)


def test_a_survey_does_not_depend_on_the_reading_and_is_thinned_out_when_long(monkeypatch):
    frames = np.stack([X + np.float32(0.25), 0.5 * X], axis=1)
    whole = survey([frames], RATE, 2)
    parts = survey(np.split(frames, [1, 777, 40000]), RATE, 2)
    np.testing.assert_array_equal(whole.power, parts.power)
    np.testing.assert_allclose(whole.mean, frames.mean(axis=0, dtype=np.float64), atol=1e-7)
    assert whole.level_db(0) == pytest.approx(whole.level_db(1) + 6.02, abs=0.01)
    monkeypatch.setattr(channels, "MAX_BLOCKS", 30)
    thin = survey([frames], RATE, 2)
    np.testing.assert_array_equal(thin.power, whole.power[::4])


@pytest.mark.parametrize("gain", [1, 0.1, 1e-3, 1e-5])
def test_no_choice_depends_on_level(gain):
    for sides in (GOOD["two speakers of a call"], BROKEN["speech in noise"][0], BROKEN["upside down"][0]):
        assert chosen(*(np.float32(gain) * side for side in sides)) == chosen(*sides)


def test_a_recording_that_breaks_off_is_described_as_far_as_it_goes():
    def frames():
        yield np.stack([0 * X, X], axis=1)
        raise DataError("cannot decode: x")

    assert choose(survey(frames(), RATE, 2), "mix")[0] == 1
    assert choose(survey([], RATE, 2), "mix") == ("mix", None)


def test_a_recording_in_memory_is_taken_as_one_that_is_read():
    for sides, wanted in (((X, X), X), ((X, 0.5 * X), 0.75 * X), ((X, -X), X), ((0 * X, X), X), ((X,), X)):
        np.testing.assert_allclose(mono(np.stack(sides, axis=1), RATE), wanted, atol=1e-6)
