"""Recognisers: the one in a wheel hears, Whisper runs from a folder, and nothing is downloaded unasked."""

import json

import numpy as np
import pytest

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.demo.speakers import SENTENCES, speak
from clean_corpus.pipeline.text.error_rate import character_error_rate
from clean_corpus.pipeline.text.transcribers import _folder_digest, check_transcriber, identity, open_transcriber
from tests.support import tiny_whisper

SPHINX = TextConfig(transcriber="pocketsphinx")


def said(text: str) -> np.ndarray:
    x, rate = speak(text, voice="en-us+f5", rate_wpm=120)
    return resample(x, rate, 16000)


def test_pocketsphinx_hears_a_sentence():
    pytest.importorskip("pocketsphinx", reason="the extra align is not installed")
    transcriber, text = open_transcriber(SPHINX), SENTENCES["en"][0]
    heard = transcriber.transcribe(said(text), language="en")
    assert character_error_rate(text, heard) < 0.35  # of a machine voice
    assert character_error_rate(SENTENCES["en"][9], heard) > 0.6
    assert transcriber.transcribe(said(text), language="de") is None
    again = said(text)[:24000]
    assert transcriber.transcribe(again, language="en") == transcriber.transcribe(again, language="en")
    assert identity(SPHINX).startswith("pocketsphinx 5")


def test_whisper_runs_from_a_folder(tmp_path):
    pytest.importorskip("faster_whisper", reason="the extra transcribe is not installed")
    folder = tiny_whisper.write(tmp_path / "model")
    config = TextConfig(transcriber="faster-whisper", model=str(folder))
    check_transcriber(config)
    transcriber, x = open_transcriber(config), said(SENTENCES["en"][0])[:32000]
    heard = [transcriber.transcribe(x, language=language) for language in ("en", "tlh", None)]
    assert isinstance(heard[0], str) and heard == [heard[0]] * 3
    name = identity(config)
    assert "faster-whisper" in name and "ctranslate2" in name
    (folder / "config.json").write_text(json.dumps({"another": 1}))
    _folder_digest.cache_clear()
    assert identity(config) != name
    (folder / "tokenizer.json").unlink()  # without it faster-whisper would fetch one
    with pytest.raises(ConfigError, match=r"lacks tokenizer\.json"):
        check_transcriber(config)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"transcriber": "faster-whisper"}, "set text.model to its folder"),
        ({"transcriber": "faster-whisper", "model": "small"}, r"text.model small: no such folder; .* text.download"),
        ({"transcriber": "pocketsphinx", "language": "de"}, "knows English alone, text.language is de"),
    ],
)
def test_what_cannot_work_is_refused_at_start(settings, words):
    for module in ("pocketsphinx", "faster_whisper"):
        pytest.importorskip(module, reason="the extras align and transcribe are not installed")
    with pytest.raises(ConfigError, match=words):
        check_transcriber(TextConfig(**settings))


@pytest.mark.parametrize(("transcriber", "extra"), [("faster-whisper", "transcribe"), ("pocketsphinx", "align")])
def test_a_missing_extra_is_named(monkeypatch, transcriber, extra):
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    with pytest.raises(ConfigError, match=rf"pip install 'clean-corpus\[{extra}\]'"):
        check_transcriber(TextConfig(transcriber=transcriber))
    check_transcriber(TextConfig())
