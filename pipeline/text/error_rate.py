"""Error rates between what a text says and what was heard: of characters, and of words."""

import numpy as np

from clean_corpus.pipeline.text.normalise import comparable, is_spaceless, letters


def edit_distance(one: str, other: str) -> int:
    """Return the least number of characters inserted, removed or replaced that turns one text into the other.

    Source: Levenshtein 1966; a row at a time, insertions within it by a running minimum.

    >>> edit_distance("kitten", "sitting")
    3
    """
    codes = np.array([ord(c) for c in other], np.int64)
    places = np.arange(len(other) + 1)
    row = places.copy()
    for count, character in enumerate(one, 1):
        best = np.empty_like(row)
        best[0] = count
        best[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(character)))
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def character_error_rate(reference: str, heard: str) -> float | None:
    """Return edits per character of the reference, in the letters that count; None if it has none.

    Case, punctuation, apostrophes and spaces do not count, so languages without spaces are measured alike. The rate
    exceeds 1 where more was heard than is written.

    >>> character_error_rate("Half-hearted, you?", "half hearted you"), character_error_rate("ab", "")
    (0.0, 1.0)
    """
    wanted = letters(reference)
    return round(edit_distance(wanted, letters(heard)) / len(wanted), 4) if wanted else None


def word_error_rate(reference: str, heard: str) -> float | None:
    """Return edits per word of the reference; None if it has none.

    Case, punctuation and apostrophes do not count. Of a text in a script that parts no words by spaces each character
    is a word.

    >>> word_error_rate("Half-hearted, you?", "half heart you"), word_error_rate("ab", "")
    (0.3333, 1.0)
    """
    spaceless = any(map(is_spaceless, reference))
    wanted, found = ([*letters(text)] if spaceless else comparable(text).split() for text in (reference, heard))
    numbers = {word: chr(number) for number, word in enumerate(sorted({*wanted, *found}))}
    edits = edit_distance("".join(map(numbers.get, wanted)), "".join(map(numbers.get, found)))
    return round(edits / len(wanted), 4) if wanted else None
