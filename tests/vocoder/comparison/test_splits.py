"""Splits by text and recording: no sentence on two sides, and what happens where groups are too large."""

import itertools

import pytest

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.comparison.splits import Said, split


def sides_of(made, names):
    """The sides on which each name comes, of those that count."""
    found = {}
    for key, side in made.sides.items():
        if side:
            found.setdefault(names[key], set()).add(side)
    return found


def test_no_sentence_and_no_recording_is_on_two_sides():
    texts = [("Well, well!", "well well", "WELL  WELL.")[i % 3] if i < 6 else f"Sentence {i}" for i in range(100)]
    said = {f"u{i:03}": Said(texts[i], "en", f"tape {i // 2}") for i in range(100)}
    made = split(said, said.keys(), test=10, validation=5, seed=3)
    assert made.by == "text and recording"
    assert {side: made.counts()[side] for side in ("test", "validation")} == {"test": 10, "validation": 5}
    recordings = {key: about.recording for key, about in said.items()}
    assert all(len(sides) == 1 for sides in sides_of(made, recordings).values())
    assert len({made.sides[f"u{i:03}"] for i in range(6)} - {None}) == 1
    assert made == split(dict(reversed(said.items())), said.keys(), test=10, validation=5, seed=3)
    assert made.of("test") != split(said, said.keys(), test=10, validation=5, seed=4).of("test")


def test_one_long_recording_is_split_by_its_sentences():
    said = {f"u{i}": Said(f"sentence {i // 2}", None, "book") for i in range(40)}
    made = split(said, said.keys(), test=4, validation=2, seed=0)
    assert made.by == "text" and made.counts() == {"train": 34, "validation": 2, "test": 4, "left_out": 0}
    assert all(len(sides) == 1 for sides in sides_of(made, {k: about.text for k, about in said.items()}).values())


def test_what_is_left_of_a_group_is_not_trained_on():
    """Recordings of three clips, of which one of the last is wanted; one clip of each lies in one set alone."""
    said = {f"u{i:02}": Said(None, None, f"tape {i // 3}") for i in range(60)}
    common = {key for i, key in enumerate(said) if i % 3}
    made = split(said, common, test=5, validation=1, seed=1)
    assert set(made.of("test")) <= common and len(made.of("test")) == 5
    held = {said[key].recording for side in ("test", "validation") for key in made.of(side)}
    assert not any(said[key].recording in held for key in made.of("train"))
    assert made.counts()["left_out"] == 3 * len(held) - 6


@pytest.mark.parametrize("n", [11, 30])
def test_a_small_corpus_speaks_at_most_a_fifth(n):
    said = {f"u{i}": Said() for i in range(n)}
    assert split(said, said.keys(), test=20, validation=1, seed=0).counts()["test"] == n // 5


def test_a_corpus_of_one_sentence_cannot_be_split():
    said = {f"u{i}": Said("the same") for i in range(10)}
    with pytest.raises(DataError, match="10 utterances that all sets have, of 1 texts: no split"):
        split(said, said.keys(), test=2, validation=1, seed=0)
    for n in (1, 2):
        few = dict(itertools.islice(((f"u{i}", Said()) for i in range(n)), n))
        with pytest.raises(DataError, match="give more utterances"):
            split(few, few.keys(), test=2, validation=1, seed=0)
