"""Clips of a listening test: one loudness for all, and recordings that cannot be used."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio import decode, encode, loudness
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening.key import load_key
from clean_corpus.vocoder.listening.page import write_test
from tests.support.listening import RATE, tone, tone_systems


def whole(path) -> np.ndarray:
    with decode.open_recording(path, DecodeConfig(sample_rate=2 * RATE)) as reader:
        return np.concatenate(list(reader.blocks()))


def test_all_clips_have_one_loudness_and_keep_their_sound(tmp_path):
    """One clip peaks so much that it cannot reach -23 LUFS: all are lowered to what it reaches."""
    source = tone_systems(tmp_path / "in")
    peaky = tone(300.0, 1.0, gain=0.02)
    peaky[8000] = 0.5
    encode.write_wav(source / "zebranet/sentence-1.wav", peaky, RATE)
    written = write_test(source, tmp_path / "test")
    assert -35 < written.loudness_lufs < -24
    for name in load_key(written.key).clips:
        x = whole(tmp_path / f"test/audio/{name}.wav")
        assert loudness.loudness_lufs(x, 2 * RATE) == pytest.approx(written.loudness_lufs, abs=0.05)  # 16 bits
        assert loudness.true_peak_db(x, 2 * RATE) <= -1 + 0.05


@pytest.mark.parametrize("kind, message", [("noise", "not audio"), ("silence", "is silent"), ("click", "LUFS within")])
def test_unusable_recordings_are_named_and_nothing_is_left(tmp_path, kind, message):
    source = tone_systems(tmp_path / "in")
    path = source / "yakcoder/sentence-1.wav"
    x = np.zeros(RATE, np.float32)
    if kind == "click":
        x[8000] = 1.0
    encode.write_wav(path, x, RATE)
    if kind == "noise":
        path.write_bytes(b"no audio")
    with pytest.raises(DataError, match=rf"sentence-1\.wav.*{message}"):
        write_test(source, tmp_path / "test")
    assert not (tmp_path / "test").exists() and not (tmp_path / "test.key.json").exists()
