"""Copy synthesis: held-out utterances of aligned sets, spoken at their own length."""

import numpy as np
import pytest

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.comparison.copy_synthesis import SEED_STEP, audio_of, speak, speech_folder, write
from clean_corpus.vocoder.features import LogMel
from tests.support.tones import RATE, tone, write_tones
from tests.support.wavenets import save_small_vocoder


@pytest.fixture
def folder(tmp_path):
    store = LocalStore(tmp_path)
    for i in range(2):
        write_tones(store, f"set/{i}.tar", [200, 300, 400])
    return tmp_path / "set"


def test_audio_comes_in_the_order_of_the_keys(folder):
    shards = sorted(folder.glob("*.tar"))
    found = audio_of(shards, ["c1-2", "c0-0"], RATE)
    assert list(found) == ["c1-2", "c0-0"]
    assert np.abs(found["c1-2"] - tone(400)).max() < 1e-4  # 16 bits
    with pytest.raises(DataError, match=r"1\.tar: utterance c9-9 is not there; run the command again"):
        audio_of(shards, ["c9-9"], RATE)


def test_speech_lies_by_system_frames_and_training(tmp_path):
    folder = speech_folder(tmp_path, "raw", "common", 2)
    write({"u1": tone(200, 0.1)}, folder, RATE)
    assert (tmp_path / "speech/raw/common/seed2/u1.wav").is_file()
    assert speech_folder(tmp_path, "raw", None, None) == tmp_path / "speech/raw/audio"


def test_speech_is_as_long_as_its_recording(tmp_path):
    vocoder = load_vocoder(save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4]))
    audio = {"a": tone(200, 0.0521), "b": tone(300, 0.03)}  # not whole numbers of frames
    spoken = speak(vocoder, audio, seed=3, threads=1)
    assert {key: len(x) for key, x in spoken.items()} == {"a": 833, "b": 480}
    assert np.array_equal(spoken["a"], speak(vocoder, audio, seed=3, threads=2)["a"])
    assert not np.array_equal(spoken["a"], speak(vocoder, audio, seed=4, threads=1)["a"])
    assert len(audio) < SEED_STEP, "seeds of two trainings overlap"


def test_each_utterance_is_spoken_as_its_speaker(tmp_path):
    vocoder = load_vocoder(save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4], speakers=("s0", "s1")))
    audio = {"a": tone(200, 0.05), "b": tone(200, 0.05), "c": tone(200, 0.05)}
    first, second, mixed = (
        speak(vocoder, audio, seed=3, threads=1, speakers=dict(zip(audio, who, strict=True)))
        for who in (("s0", "s0", "s0"), ("s1", "s1", "s1"), ("s1", "s0", "s1"))
    )
    assert all(not np.array_equal(first[key], second[key]) for key in audio)
    expected = {"a": second, "b": first, "c": second}
    assert all(np.array_equal(mixed[key], expected[key][key]) for key in audio)
    (tmp_path / "one").mkdir()
    plain = load_vocoder(save_small_vocoder(tmp_path / "one", LogMel(), upsampling=[5, 4, 4]))
    one, other = (speak(plain, audio, seed=3, threads=1, speakers=who) for who in (None, dict.fromkeys(audio, "s9")))
    assert all(np.array_equal(one[key], other[key]) for key in audio), "it was trained without speakers"


def test_draws_in_voiced_frames_have_the_temperature_of_the_card(tmp_path):
    """A tone is voiced, and said otherwise then; silence is not."""
    vocoder = load_vocoder(save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4]))
    audio = {"tone": tone(200, 0.05), "silence": np.zeros(800, np.float32)}
    plain = speak(vocoder, audio, seed=3, threads=1)
    for degree, alike in ((1.0, True), (0.3, False)):
        vocoder.card["voiced_temperature"] = degree
        spoken = speak(vocoder, audio, seed=3, threads=1)
        assert np.array_equal(spoken["tone"], plain["tone"]) == alike
        assert np.array_equal(spoken["silence"], plain["silence"])


def test_speech_is_equalised_as_the_card_says(tmp_path):
    """A network of random weights is as loud as a tone of full scale only where its card asks for that."""
    vocoder = load_vocoder(save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4]))
    audio = {"tone": tone(200, 0.3)[: 16000 // 4]}

    def far_db(x: np.ndarray) -> float:
        return abs(10 * np.log10(np.mean(x**2) / np.mean(audio["tone"] ** 2)))

    plain = speak(vocoder, audio, seed=3, threads=1)["tone"]
    vocoder.card["equaliser_ms"] = 50
    assert far_db(speak(vocoder, audio, seed=3, threads=1)["tone"]) < 3 < far_db(plain)


def test_the_equalised_copy_of_a_recording_at_full_scale_can_be_written(tmp_path):
    """Frames at full scale and a network that whispers: the filter raises some samples beyond it."""
    vocoder = load_vocoder(save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4]))
    vocoder.card["equaliser_ms"] = 50
    x = np.sign(tone(200, 0.3)) + 0.0
    spoken = speak(vocoder, {"loud": x.astype(np.float32)}, seed=3, threads=1)
    assert np.abs(spoken["loud"]).max() == 1
    write(spoken, tmp_path / "said", 16000)
