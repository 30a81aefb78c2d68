"""Recordings to clips: kept whole, cut, rejected or failed, with nothing lost in between."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.core.config import AudioConfig, PipelineConfig, SegmentConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Metadata, Recording
from clean_corpus.pipeline.corpus.clips import cut_recording, read_recording, read_whole
from clean_corpus.pipeline.quality.fingerprint import pcm_sha256
from tests.support import signals

RATE = 16000
CONFIG = PipelineConfig(segment=SegmentConfig(max_s=4.0))


@pytest.fixture
def recorded(tmp_path):
    """Write samples as a recording and return it."""

    def write(x, name="a.flac", rate=RATE):
        soundfile.write(tmp_path / name, x, rate, subtype="PCM_16")
        size = (tmp_path / name).stat().st_size
        return Recording(name, name, size, "0" * 64, Metadata(text="spoken words"))

    return write


def test_a_short_recording_is_one_clip(tmp_path, recorded):
    x = signals.speech(3, seed=0)
    stereo = np.stack([x, x], axis=1)
    ((clip, samples),) = cut_recording(tmp_path, recorded(stereo), CONFIG)
    np.testing.assert_allclose(samples, x, atol=1 / 32768)  # written with 16 bits
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
        np.testing.assert_array_equal(samples, whole[start : start + len(samples)])
        assert clip.duration_s == len(samples) / RATE <= 4.0


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
    with pytest.raises(DataError, match="permission denied"):
        read_recording(tmp_path, unfound, AudioConfig())


def test_what_was_cut_before_the_damage_stays(tmp_path, recorded):
    recording = recorded(signals.speech(20, seed=1))
    path = tmp_path / recording.path
    path.write_bytes(path.read_bytes()[: recording.size * 3 // 4])
    *clips, (rest, samples) = cut_recording(tmp_path, recording, CONFIG)
    assert clips and all(clip.error is None for clip, _ in clips)
    assert samples is None and rest.clip_id == f"{recording.key}-rest" and "truncated" in rest.error
    assert rest.offset_s == pytest.approx(clips[-1][0].offset_s + clips[-1][0].duration_s)
