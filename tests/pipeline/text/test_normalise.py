"""Texts as they are published and compared."""

import unicodedata

import pytest

from clean_corpus.pipeline.core.types import Clip, Metadata
from clean_corpus.pipeline.text.normalise import clean_text, comparable, is_spaceless, letters, with_clean_text

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648"  # two parts of a word, joined by no line


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("e\u0301te\u0301", "été"),
        ("\ufeffa\x00b\x1b[31m", "ab[31m"),
        ("a\r\n\tb\u2028c\u3000d", "a b c d"),
        ("so\u00adft\u2060 \u202eright\u202c", "soft right"),
        (PERSIAN, PERSIAN),
        ("क्\u200dष", "क्\u200dष"),
        ("a\u200cb \u200c", "ab"),
        ("\u200b \x07", None),
        (None, None),
    ],
)
def test_what_nobody_reads_is_taken_out(text, clean):
    assert clean_text(text) == clean
    assert clean_text(clean) == clean


def test_composed_and_decomposed_text_compare_alike():
    korean = "안녕하세요"
    assert comparable(unicodedata.normalize("NFD", korean)) == korean == comparable(korean)
    assert comparable("Straße, ﬁne") == "strasse fine"
    assert letters("1,000 m²") == "1000m2"
    assert comparable("?!") == ""


def test_the_original_is_kept_where_it_is_another():
    clip = with_clean_text(Clip("a", "a.wav", None, metadata=Metadata("cafe\u0301\n", "ann")))
    assert (clip.metadata, clip.text_original) == (Metadata("caf\u00e9", "ann"), "cafe\u0301\n")
    assert with_clean_text(clip) == clip
    nothing = with_clean_text(Clip("a", "a.wav", None, metadata=Metadata("\ufeff")))
    assert (nothing.metadata.text, nothing.text_original) == (None, "\ufeff")


def test_scripts_without_spaces():
    assert all(map(is_spaceless, "中かカกខ")) and not any(map(is_spaceless, "aяعा안"))
