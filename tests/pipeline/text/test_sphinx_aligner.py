"""PocketSphinx finds the words of a machine voice, and says nothing of what it does not know."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.demo.speakers import SENTENCES, speak
from clean_corpus.pipeline.text.aligners import open_aligner
from clean_corpus.pipeline.text.spool import Piece

SAID = [SENTENCES["en"][n] for n in (4, 7, 10)]


@pytest.fixture(scope="module")
def pieces():
    """Three sentences, 10 s from the beginning of one to that of the next."""
    pytest.importorskip("pocketsphinx", reason="the extra align is not installed")
    made = []
    for number, text in enumerate(SAID):
        x, rate = speak(text, voice="en-us+f5", rate_wpm=140)
        made.append(Piece(10.0 * number, resample(x, rate, 16000)))
    return made


def texts(pieces, text: str, language: str | None = None) -> list[str | None]:
    found = open_aligner(TextConfig())(pieces, text, language)
    spoken = [found and found.between(10.0 * n - 0.1, 10.0 * n + 9.9) for n in range(len(pieces))]
    return [clip and clip.text for clip in spoken]


def test_sentences_of_a_reading_are_told_apart(pieces):
    assert texts(pieces, " ".join(SAID)) == SAID


def test_a_sentence_that_is_not_spoken_and_one_without_text(pieces):
    other = "The committee will meet on Thursday to discuss the Grzyb budget of 1999."
    first, second, third = texts(pieces, f"{SAID[0]} {other} {SAID[2]}", "en-US")
    assert second is None and first in (None, SAID[0]) and third in (None, SAID[2])


def test_other_languages_are_left_alone(pieces):
    assert texts(pieces, " ".join(SENTENCES["de"][:3])) == [None] * 3
    assert texts(pieces, " ".join(SAID), "de") == [None] * 3


def test_without_the_extra_there_is_no_aligner(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    assert open_aligner(TextConfig()) is None
    with pytest.raises(ConfigError, match=r"clean-corpus\[align\]"):
        open_aligner(TextConfig(aligner="pocketsphinx"))
    assert np.all([open_aligner(TextConfig(aligner=None)) is None])
