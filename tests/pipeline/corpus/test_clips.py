"""Recordings to clips: kept whole, cut, rejected or failed, with nothing lost in between."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio.highpass import without_rumble
from clean_corpus.pipeline.core.config import AudioConfig, PipelineConfig, SegmentConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Metadata, Recording, TimedText
from clean_corpus.pipeline.corpus.clips import cut_recording, read_whole
from clean_corpus.pipeline.demo.speakers import speak
from clean_corpus.pipeline.quality.fingerprint import pcm_sha256
from clean_corpus.pipeline.text.alignment import Alignment, Located
from clean_corpus.pipeline.text.words import split_words
from tests.support import signals

RATE = 16000
CONFIG = PipelineConfig(audio={"sample_rate": RATE}, segment=SegmentConfig(max_s=4.0, trim=False))


@pytest.fixture
def recorded(tmp_path):
    """Write samples as a recording and return it."""

    def write(x, name="a.flac", rate=RATE, subtype="PCM_16"):
        soundfile.write(tmp_path / name, x, rate, subtype=subtype)
        size = (tmp_path / name).stat().st_size
        return Recording(name, name, size, "0" * 64, Metadata(text="spoken words"))

    return write


def as_recorded(clip, samples):
    """Return the samples of a clip at the level that they had in the recording."""
    return samples * 10 ** (-clip.input_gain_db / 20)


def test_a_short_recording_is_one_clip(tmp_path, recorded):
    x = signals.speech(3, seed=0)
    stereo = np.stack([x, x], axis=1)
    ((clip, samples),) = cut_recording(tmp_path, recorded(stereo), CONFIG)
    wanted = np.concatenate(list(without_rumble([x - x.mean()], sample_rate=RATE)))
    inner = slice(RATE // 200, -RATE // 200)  # both ends are faded
    np.testing.assert_allclose(as_recorded(clip, samples)[inner], wanted[inner], atol=2 / 32768)  # written with 16 bits
    assert (clip.channel, clip.channel_why, clip.clipping_ratio) == ("mix", None, 0.0)
    assert (clip.offset_s, clip.duration_s, clip.channels_in, clip.sample_rate_in_hz) == (0.0, 3.0, 2, RATE)
    assert (clip.clip_id, clip.metadata.text, clip.reject) == (recorded(x).key, "spoken words", None)
    assert clip.pcm_sha256 == pcm_sha256(samples) and clip.speech_s > 1


def test_a_long_recording_is_cut_into_numbered_clips_of_its_own_samples(tmp_path, recorded):
    x = signals.speech(12, seed=1)
    recording = recorded(x)
    whole = read_whole(tmp_path / recording.path, CONFIG.audio)
    found = list(cut_recording(tmp_path, recording, CONFIG))
    assert [clip.clip_id for clip, _ in found] == [f"{recording.key}-{i:05d}" for i in range(len(found))]
    assert len(found) > 2
    for clip, samples in found:
        start = round(clip.offset_s * RATE)
        inner = slice(RATE // 200, -RATE // 200)
        original = whole[start : start + len(samples)]
        np.testing.assert_allclose(as_recorded(clip, samples)[inner], original[inner], atol=1e-4)
        assert np.abs(samples[[0, -1]]).max() < 0.01, "no click"
        assert clip.duration_s == len(samples) / RATE <= 4.0


class Timetable:
    """An aligner that knows when each word is spoken."""

    name = "timetable"

    def __init__(self, *times):
        self.located = [Located(*at, True) for at in times]

    def __call__(self, pieces, text, language):
        pieces = list(pieces)
        self.asked = pieces[-1].start_s + len(pieces[-1].samples) / 16000, text, language
        return Alignment(text, split_words(text), self.located, [])


def test_a_text_goes_to_one_clip_and_of_several_each_has_its_own_words(tmp_path, recorded):
    x = signals.speech(12, seed=1)
    found = [clip for clip, _ in cut_recording(tmp_path, recorded(x), CONFIG)]
    assert {(c.metadata.text, c.recording_text, c.text_source) for c in found} == {(None, "spoken words", None)}
    first, second, *_ = found
    middle = first.offset_s + first.duration_s / 2
    edge = second.offset_s + second.duration_s
    aligner = Timetable((middle, middle + 0.2), (edge - 0.4, edge + 0.4))
    first, second, third, *_ = (clip for clip, _ in cut_recording(tmp_path, recorded(x), CONFIG, aligner))
    assert 8.0 < aligner.asked[0] <= 12.0 and aligner.asked[1:] == ("spoken words", None)
    assert (first.metadata.text, first.text_source, first.reject) == ("spoken", "aligned", None)
    assert (second.metadata.text, second.reject) == (None, (Reason.TEXT_CUT, "the clip's edge is in 'words'"))
    assert second.recording_text == third.recording_text == "spoken words" and third.metadata.text is None
    alone = np.concatenate([signals.silence(5, RATE), signals.speech(3, seed=0), signals.silence(5, RATE)])
    ((clip, _),) = cut_recording(tmp_path, recorded(alone), CONFIG)
    assert (clip.metadata.text, clip.text_source, clip.recording_text) == ("spoken words", "manifest", None)


def test_time_stamps_say_where_a_recording_is_cut_and_what_each_clip_says(tmp_path, recorded):
    """Five readings of one sentence: the third has no text, the last two have one, which is too long for a clip."""
    voice, rate = speak("The road to the village bends twice before it reaches the bridge.", voice="en-us+f3")
    gap, voice = np.zeros(RATE, np.float32), soxr.resample(voice, rate, RATE)
    x = np.concatenate([part for _ in range(5) for part in (gap, voice[: 3 * RATE])] + [gap])
    texts = [(1.1, 3.9, "One.", "ann"), (5.0, 8.0, "Two."), (13.0, 20.0, "Three, four."), (40.0, 41.0, "Five.")]
    recording = replace(recorded(x), segments=tuple(TimedText(*text) for text in texts))
    recording = replace(recording, metadata=Metadata("One. Two. Three, four.", "bob", "CC0"))
    found = list(cut_recording(tmp_path, recording, CONFIG))
    assert [(c.metadata.text, c.metadata.speaker, c.text_source, c.reject and c.reject[0]) for c, _ in found] == [
        ("One.", "ann", "timed", None),
        ("Two.", "bob", "timed", None),
        (None, "bob", None, Reason.NO_TEXT),
        (None, "bob", None, Reason.TEXT_CUT),
        (None, "bob", None, Reason.TEXT_CUT),
        ("Five.", "bob", "timed", Reason.NO_SPEECH),
    ]
    assert [c.recording_text for c, _ in found[3:5]] == ["Three, four."] * 2
    assert found[4][0].reject[1] == "its text lasts 7 s, segment.max_s is 4"
    assert found[5][0].reject[1].endswith("from 40.00 s on, the recording ends at 21.00 s") and found[5][1] is None
    assert len({c.clip_id for c, _ in found}) == 6
    for number, (clip, samples) in enumerate(found[:5]):
        assert clip.offset_s == pytest.approx(4 * number + 0.85, abs=0.1) and 3.0 < clip.duration_s < 3.5
        assert len(samples) == round(clip.duration_s * RATE)
    words = [(1.0, 3.5), (5.0, 7.5), (13.1, 15.0), (17.1, 19.0)]
    keep = CONFIG.model_copy(update={"segment": SegmentConfig(max_s=4.0, outside="keep")})
    kept = [c for c, _ in cut_recording(tmp_path, recording, keep, Timetable(*words))]
    assert [(c.metadata.text, c.text_source) for c in kept[2:5]] == [
        (None, None),
        ("Three,", "aligned"),
        ("four.", "aligned"),
    ]
    assert [c.reject for c in kept[:5]] == [None] * 5
    whole = replace(recorded(x[: 5 * RATE]), segments=(TimedText(0.0, 5.0, "One."),))
    ((clip, _),) = cut_recording(tmp_path, whole, CONFIG)
    assert (clip.clip_id, clip.metadata.text) == (whole.key, "One."), "one text of a whole recording"


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (signals.speech(3, seed=0)[: RATE // 2], "too_short"),
        (signals.silence(2, RATE), "no_speech"),
        (signals.silence(9, RATE), "no_speech"),
    ],
)
def test_what_is_too_short_or_silent_is_rejected_before_any_network(tmp_path, recorded, x, reason):
    ((clip, _),) = cut_recording(tmp_path, recorded(x), CONFIG)
    assert clip.reject[0] == reason and clip.error is None
    assert clip.duration_s == len(x) / RATE


def test_what_cannot_be_read_is_a_clip_with_its_error(tmp_path, recorded):
    (tmp_path / "text.wav").write_text("no audio")
    recording = Recording("text.wav", "text.wav", 8, "0" * 64)
    ((clip, samples),) = cut_recording(tmp_path, recording, CONFIG)
    assert samples is None and clip.error.startswith("not audio")
    unfound = replace(recording, error="permission denied")
    assert [clip.error for clip, _ in cut_recording(tmp_path, unfound, CONFIG)] == ["permission denied"]


def test_what_was_cut_before_the_damage_stays(tmp_path, recorded):
    recording = recorded(signals.speech(20, seed=1))
    path = tmp_path / recording.path
    path.write_bytes(path.read_bytes()[: recording.size * 3 // 4])
    *clips, (rest, samples) = cut_recording(tmp_path, recording, CONFIG)
    assert clips and all(clip.error is None for clip, _ in clips)
    assert samples is None and rest.clip_id == f"{recording.key}-rest" and "truncated" in rest.error
    assert rest.offset_s == pytest.approx(clips[-1][0].offset_s + clips[-1][0].duration_s)


@pytest.fixture(scope="module")
def spoken():
    """Two sentences in a quiet room, their peak at -20 dBFS."""
    x = signals.noisy_speech(9, 30.0, seed=1)
    return 0.1 * x / np.abs(x).max()


def test_a_recording_gives_the_same_clips_at_any_level(tmp_path, recorded, spoken):
    """Peaks at -20, -40 and -60 dBFS: words that the detector did not hear, and bits that a raw shard did not hold."""
    found = []
    for gain_db in (0, -20, -40, -60.5):
        recording = recorded(spoken * 10 ** (gain_db / 20), subtype="PCM_24")
        found.append(list(cut_recording(tmp_path, recording, CONFIG)))
    assert len(found[0]) > 1
    for gain_db, clips in zip((-20, -40, -60.5), found[1:], strict=True):
        for (clip, samples), (first, wanted) in zip(clips, found[0], strict=True):
            np.testing.assert_allclose(samples, wanted, atol=2e-3)  # 24 bits of the softest
            assert (clip.offset_s, clip.duration_s) == (first.offset_s, first.duration_s)
            assert clip.bandwidth_hz == pytest.approx(first.bandwidth_hz, abs=300)
            assert clip.speech_s == pytest.approx(first.speech_s, abs=0.04)
            assert clip.input_gain_db == pytest.approx(first.input_gain_db - gain_db, abs=0.01)


def test_a_click_at_full_scale_does_not_make_soft_speech_inaudible(tmp_path, recorded, spoken):
    x = spoken[: 3 * RATE] * 1e-2
    ((clip, _),) = cut_recording(tmp_path, recorded(x, subtype="PCM_24"), CONFIG)
    x[2 * RATE : 2 * RATE + 20] = 0.99
    ((clicked, _),) = cut_recording(tmp_path, recorded(x, subtype="PCM_24"), CONFIG)
    assert clicked.speech_s == pytest.approx(clip.speech_s, abs=0.1) and clicked.reject is None


def test_a_soft_speaker_is_heard_beside_a_loud_one(tmp_path, recorded):
    loud, soft = signals.speech(16, seed=1), 10 ** (-45 / 20) * signals.speech(16, seed=2)
    found = list(cut_recording(tmp_path, recorded(np.concatenate([loud, soft]), subtype="PCM_24"), CONFIG))
    heard_s = sum(clip.speech_s for clip, _ in found if clip.offset_s > 20)
    alone = cut_recording(tmp_path, recorded(soft, subtype="PCM_24"), CONFIG)
    assert heard_s > 0.9 * sum(clip.speech_s for clip, _ in alone if clip.offset_s > 4)


@pytest.mark.parametrize("offset", [0.03, -0.5])
def test_an_offset_and_rumble_leave_no_click_at_the_ends_of_a_clip(tmp_path, recorded, spoken, offset):
    x = spoken[: 3 * RATE]
    rumble = 0.03 * signals.tone(7, 3, RATE, -3)
    ((_, clean),) = cut_recording(tmp_path, recorded(x), CONFIG)
    ((clip, samples),) = cut_recording(tmp_path, recorded(np.stack([x + offset + rumble] * 2, axis=1)), CONFIG)
    assert np.abs(samples[[0, -1]]).max() < 3e-4 and np.abs(np.diff(samples[:400])).max() < 0.005
    assert abs(samples.mean()) < 1e-4 and clip.reject is None
    np.testing.assert_allclose(samples[4800:-4800], clean[4800:-4800], atol=0.01)


def test_channels_that_cancel_are_heard_and_the_ledger_says_why(tmp_path, recorded, spoken):
    x = spoken[: 3 * RATE]
    ((alone, wanted),) = cut_recording(tmp_path, recorded(0.9 * x), CONFIG)
    ((clip, samples),) = cut_recording(tmp_path, recorded(np.stack([-0.5 * x, 0.9 * x], axis=1)), CONFIG)
    assert (clip.channel, clip.reject) == ("1", None) and clip.channel_why.startswith("channels cancel")
    np.testing.assert_allclose(samples, wanted, atol=1e-4)
    assert alone.channel == "0" and alone.channel_why is None
    config = CONFIG.model_copy(update={"audio": AudioConfig(sample_rate=RATE, channel=0)})
    ((clip, _),) = cut_recording(tmp_path, recorded(np.stack([-0.5 * x, 0.9 * x], axis=1)), config)
    assert (clip.channel, clip.channel_why) == ("0", None)
    np.testing.assert_allclose(
        read_whole(tmp_path / "a.flac", AudioConfig(sample_rate=RATE)),
        read_whole(tmp_path / "a.flac", AudioConfig(sample_rate=RATE, channel=1)),
    )


def test_a_channel_that_is_not_finite_does_not_cost_the_other(tmp_path, recorded, spoken):
    sides = np.stack([spoken, spoken], axis=1)[: 3 * RATE]
    sides[100, 0] = np.nan
    ((clip, samples),) = cut_recording(tmp_path, recorded(sides, name="a.wav", subtype="FLOAT"), CONFIG)
    assert (clip.channel, clip.error) == ("1", None) and "not finite" in clip.channel_why and len(samples) == 3 * RATE
    sides[100, 1] = np.inf
    ((clip, _),) = cut_recording(tmp_path, recorded(sides, name="a.wav", subtype="FLOAT"), CONFIG)
    assert clip.error.startswith("not finite: sample at 0.006 s")


def test_clipping_and_bandwidth_are_those_of_the_recording_and_of_the_clip(tmp_path, recorded, spoken):
    """At 48 kHz: after resampling to 16 kHz the tops are round, and everything reaches half the rate."""
    x = soxr.resample(spoken, RATE, 48000) + 1e-3 * np.random.default_rng(0).standard_normal(9 * 48000)
    x[5 * 48000 :] = np.clip(20 * x[5 * 48000 :], -0.5, 0.5) / 5
    found = [clip for clip, _ in cut_recording(tmp_path, recorded(x, rate=48000), CONFIG)]
    before, after = ([c for c in found if later == (c.offset_s > 5.5)] for later in (False, True))
    assert len(before) > 0 and {c.clipping_ratio for c in before if c.offset_s + c.duration_s < 5} == {0.0}
    assert min(c.clipping_ratio for c in after) > 0.01
    assert all(c.bandwidth_hz > 20000 for c in found if c.speech_s > 1)
    narrow = soxr.resample(spoken, RATE, 48000)
    assert all(7000 < c.bandwidth_hz < 8100 for c, _ in cut_recording(tmp_path, recorded(narrow, rate=48000), CONFIG))
