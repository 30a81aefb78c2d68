"""Character error rates with known answers."""

import random

import pytest

from clean_corpus.pipeline.text.error_rate import character_error_rate, edit_distance


def slow_distance(one: str, other: str) -> int:
    """The table of Levenshtein, cell by cell."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def test_distance_equals_the_table():
    draw = random.Random(0)
    for _ in range(30):
        one, other = ("".join(draw.choices("abc", k=draw.randrange(9))) for _ in range(2))
        assert edit_distance(one, other) == slow_distance(one, other)


@pytest.mark.parametrize(
    ("text", "heard", "rate"),
    [
        ("Don't!", "dont", 0.0),
        ("some one", "someone", 0.0),
        ("ten 10", "ten ten", 0.6),
        ("你好、世界", "你好世間", 0.25),
        ("ab", "abcdef", 2.0),
        ("…", "a", None),
    ],
)
def test_rates(text, heard, rate):
    assert character_error_rate(text, heard) == rate
