"""Words of a text: where each stands in it, and the stretch of the text that some of them make."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from clean_corpus.pipeline.text.normalise import comparable, is_spaceless

_WORD = re.compile(r"s|d+(?:[.]d+)*a*|a[ad]*(?:'[ad]+)*")  # of classes of characters, not of characters
_APOSTROPHES = "'\u2019\u02bc"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text from character `first` up to `end`; `key` is what it is compared by."""

    first: int
    end: int
    key: str


def split_words(text: str) -> list[Word]:
    """Return the words of a text in their order; of scripts without spaces each character is one.

    >>> text = "Half-hearted, don’t you? 9:30 语言"
    >>> [text[word.first : word.end] for word in split_words(text)]
    ['Half', 'hearted', 'don’t', 'you', '9:30', '语', '言']
    """
    classes = "".join(map(_class_of, text))
    found = ((match.start(), match.end()) for match in _WORD.finditer(classes))
    words = (Word(first, end, comparable(text[first:end]).replace(" ", "")) for first, end in found)
    return [word for word in words if word.key]


def _class_of(character: str) -> str:
    if is_spaceless(character):
        return "s" if unicodedata.category(character)[0] in "LN" else " "
    category = unicodedata.category(character)
    if category == "Nd":
        return "d"
    if category[0] in "LMN":
        return "a"
    return "'" if character in _APOSTROPHES else "." if character in ".,:" else " "


def stretch(text: str, words: Sequence[Word], first: int, last: int) -> str:
    """Return the text from word number `first` to number `last`, with the punctuation that belongs to them.

    What stands between two words belongs to the earlier one up to the last space, and to the later one from there on.

    >>> text = 'So. "Well," she said (twice). Go!'
    >>> stretch(text, split_words(text), 1, 4)
    '"Well," she said (twice).'
    """
    begin = _parting(text, words[first - 1].end, words[first].first) if first else 0
    end = _parting(text, words[last].end, words[last + 1].first) if last + 1 < len(words) else len(text)
    return text[begin:end].strip()


def _parting(text: str, begin: int, end: int) -> int:
    spaces = [at for at in range(begin, end) if text[at].isspace()]
    return spaces[-1] if spaces else end
