"""Pronunciations of English words that a dictionary lacks, made of the words that it has."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from clean_corpus.pipeline.text.english_numbers import readings

Lookup = Callable[[str], str | None]
"""(word) -> its phones in ARPABET, None if it is not in the dictionary."""

LEAST_PART = 3  # letters of a word of the dictionary within another
PART_COST, LETTER_COST = 1.0, 0.7  # few long parts are better than many short ones, and any part than its letters

_LETTERS = {
    **{"tion": "SH AH N", "sion": "ZH AH N", "igh": "AY", "tch": "CH", "sch": "SH", "eau": "OW", "ough": "AO"},
    **{"ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "ck": "K", "qu": "K W", "ng": "NG", "wh": "W", "gh": "G"},
    **{"ee": "IY", "ea": "IY", "oo": "UW", "ai": "EY", "ay": "EY", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY"},
    **{"au": "AO", "aw": "AO", "ie": "IY", "ei": "EY", "ey": "IY", "ue": "UW", "er": "ER", "ar": "AA R", "or": "AO R"},
    **{"a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH"},
    **{"k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T"},
    **{"u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z"},
}


def plain_letters(word: str) -> str:
    """Return a word in small letters from a to z, apostrophes and digits, without accents.

    >>> plain_letters("Café’s")
    "cafe's"
    """
    word = unicodedata.normalize("NFKD", word.casefold().replace("\u2019", "'").replace("\u02bc", "'"))
    return "".join(c for c in word if not unicodedata.combining(c))


def pronunciations(word: str, lookup: Lookup) -> list[str]:
    """Return how a word that is not in a dictionary may be pronounced, phones in ARPABET; none if it cannot be told.

    Numbers are read out; other words are the fewest and longest words of the dictionary that they are made of, with
    single letters between them. That is a guess, good enough to find the word between its neighbours.

    Source: pronunciation by analogy, after Dedina and Nusbaum 1991, with whole words as the known parts.

    >>> words = {"steel": "S T IY L", "more": "M AO R", "two": "T UW"}
    >>> pronunciations("steelmore", words.get), pronunciations("2", words.get), pronunciations("да", words.get)
    (['S T IY L M AO R'], ['T UW'], [])
    """
    if word[:1].isdigit():
        found = [[lookup(part) for part in reading.split()] for reading in readings(word)]
        return list(dict.fromkeys(" ".join(map(str, parts)) for parts in found if None not in parts))
    letters = word.replace("'", "")
    if not re.fullmatch("[a-z]{1,60}", letters):
        return []
    return list(dict.fromkeys(filter(None, (_cheapest(letters, lookup), _cheapest(letters, lambda _: None)))))[:1]


def _cheapest(letters: str, lookup: Lookup) -> str:
    """Return the phones of the cheapest parts that a word can be cut into."""

    @cache
    def phones_from(at: int) -> tuple[float, tuple[str, ...]]:
        if at == len(letters) or (letters[at:] == "e" and at > 1):  # a last e is silent
            return 0.0, ()
        options = []
        for end in range(at + 1, len(letters) + 1):
            part = letters[at:end]
            if phones := _LETTERS.get(part):
                cost, rest = phones_from(end)
                options.append((cost + LETTER_COST, (phones, *rest)))
            if len(part) >= LEAST_PART and (phones := lookup(part)):
                cost, rest = phones_from(end)
                options.append((cost + PART_COST + LETTER_COST / len(part), (phones, *rest)))
        return min(options, key=lambda option: option[0])

    return " ".join(phones_from(0)[1])
