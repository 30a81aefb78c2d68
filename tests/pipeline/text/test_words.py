"""Words of a text and stretches of it."""

from itertools import pairwise

import pytest

from clean_corpus.pipeline.text.anchors import common_words
from clean_corpus.pipeline.text.words import split_words, stretch

TEXT = "Dr. O'Neill \u2014 \u201cthe\u201d best \u2014 left at 9:30 (half-asleep), \u8bed\u8a00\u3002ok"


def test_words_have_their_places():
    words = split_words(TEXT)
    spelt = [TEXT[word.first : word.end] for word in words]
    assert spelt == ["Dr", "O'Neill", "the", "best", "left", "at", "9:30", "half", "asleep", "\u8bed", "\u8a00", "ok"]
    assert [word.key for word in words][:3] == ["dr", "oneill", "the"]
    assert split_words("\u2026 ?!") == []


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (0, 11, TEXT),
        (2, 3, "\u201cthe\u201d best \u2014"),
        (7, 7, "(half-"),
        (8, 9, "asleep), \u8bed"),
        (10, 11, "\u8a00\u3002ok"),
    ],
)
def test_a_stretch_has_its_punctuation(first, last, text):
    assert stretch(TEXT, split_words(TEXT), first, last) == text


def test_a_text_is_the_sum_of_its_stretches():
    words = split_words(TEXT)
    for cut in range(1, len(words)):
        parts = stretch(TEXT, words, 0, cut - 1), stretch(TEXT, words, cut, len(words) - 1)
        assert "".join(parts).replace(" ", "") == TEXT.replace(" ", "")


# ---- anchors


def test_a_passage_that_differs_does_not_move_the_others():
    written = [f"w{n}" for n in range(300)]
    heard = written[:100] + ["x"] * 40 + written[130:200] + ["the"] + written[200:]
    pairs = common_words(written, heard)
    assert [i for i, _ in pairs] == [*range(100), *range(130, 300)]
    assert all(written[i] == heard[j] for i, j in pairs)


def test_both_numbers_rise_where_words_repeat():
    written = ["to", "be", "or", "not", "to", "be", "that", "is", "the", "question", "to", "be", "sure"]
    heard = ["to", "be", "that", "is", "the", "question", "or", "not", "to", "be", "to", "be"]
    pairs = common_words(written, heard)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))
    assert {written[i] for i, _ in pairs} >= {"that", "is", "question"}
    assert common_words(written, []) == common_words([], heard) == []
