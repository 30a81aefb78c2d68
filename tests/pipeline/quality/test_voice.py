"""Voices tell speakers apart, whatever the rate and level, and are those of the package."""

import importlib.util
import warnings

import numpy as np
import pytest

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.demo.speakers import speak
from clean_corpus.pipeline.quality import speakers, voice

pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")
if importlib.util.find_spec(voice.PACKAGE) is None:
    pytest.skip("the extra `speakers` is not installed", allow_module_level=True)

TEXTS = ("The road to the village bends twice.", "She planted two rows of beans.")


@pytest.fixture(scope="module")
def encoder():
    return voice.VoiceEncoder(speech_threshold=0.5)


@pytest.fixture(scope="module")
def spoken():
    """Return (voice, text) -> samples at 22.05 kHz."""
    return {(v, i): speak(text, voice=f"en-us+{v}")[0] for v in ("f3", "m3") for i, text in enumerate(TEXTS)}


def test_the_same_speaker_is_more_alike_than_another(encoder, spoken):
    voices = {key: encoder(x, sample_rate=22050).embedding for key, x in spoken.items()}
    same = [voice.likeness(voices[v, 0], voices[v, 1]) for v in ("f3", "m3")]
    other = [voice.likeness(voices["f3", i], voices["m3", j]) for i in (0, 1) for j in (0, 1)]
    assert min(same) > 0.8 > 0.7 > max(other)
    for found in voices.values():
        assert found.shape == (voice.SIZE,) and np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        assert voice.likeness(voice.from_text(voice.to_text(found)), found) > 0.99999


def test_rate_and_level_change_little_and_silence_has_no_voice(encoder, spoken):
    x = spoken["f3", 0]
    wanted = encoder(x, sample_rate=22050).embedding
    for other, rate in ((0.1 * x, 22050), (resample(x, 22050, 48000), 48000), (resample(x, 22050, 16000), 16000)):
        assert voice.likeness(encoder(other, sample_rate=rate).embedding, wanted) > 0.99
    assert encoder(np.zeros(16000, np.float32), sample_rate=16000) is None
    assert encoder(np.zeros(10, np.float32), sample_rate=48000) is None


def test_a_change_of_speaker_shows_and_a_change_of_text_does_not(encoder, spoken):
    changes = np.concatenate([spoken["f3", 0], spoken["m3", 1]])
    stays = np.concatenate([spoken["f3", 0], spoken["f3", 1]])
    limit = 0.65
    assert speakers.constancy(encoder(changes, sample_rate=22050).windows) < limit
    assert speakers.constancy(encoder(stays, sample_rate=22050).windows) > limit
    assert speakers.constancy(encoder(spoken["f3", 0], sample_rate=22050).windows) is None  # too short to tell


def test_windows_are_those_of_the_package(encoder, spoken):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resemblyzer = pytest.importorskip("resemblyzer")
    theirs = resemblyzer.VoiceEncoder("cpu", verbose=False)
    speech = voice.speech_of(resample(spoken["f3", 0], 22050, 16000), 0.5)
    wanted = theirs.embed_utterance(speech, return_partials=True, rate=2.5, min_coverage=1)[1]  # 0.4 s apart
    mel = voice.power_mel(speech)
    found = encoder._embed([mel[40 * i : 40 * i + voice.WINDOW] for i in range(len(wanted))]).numpy()
    assert np.abs(voice._unit(found) - wanted).max() < 1e-4


def test_all_that_the_network_computes_with_is_on_its_device():
    """On torch's device without memory, which refuses to compute with what lies elsewhere, as a GPU does."""
    found = voice.VoiceEncoder(speech_threshold=0.5, device="meta")._embed(2 * [np.zeros((160, 40), np.float32)])
    assert found.device.type == "meta" and found.shape == (2, voice.SIZE)


def test_clips_side_by_side_have_the_voices_that_each_has_alone(encoder, spoken):
    """As on a GPU, where windows of several clips are a batch."""
    mels = [(key, encoder.hear(x, sample_rate=22050)) for key, x in spoken.items()]
    batched = voice.VoiceEncoder(speech_threshold=0.5)
    batched._at_once, batched._windows = 5, 7
    found = list(batched.embed_all(iter(mels)))
    assert [key for key, _ in found] == list(spoken)
    for key, together in found:
        alone = encoder(spoken[key], sample_rate=22050)
        assert together.windows.shape == alone.windows.shape
        assert np.abs(together.embedding - alone.embedding).max() < 1e-5
