"""Words of a text with their times, as an aligner says them, and the stretch of the text that a clip holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from clean_corpus.pipeline.core.types import Audio, TimedText

EDGE_S = 0.05  # of a word that reaches over the edge of a clip: where words begin and end is not known better


class Aligner(Protocol):
    """Finds out when each word of a text is spoken. `name` says what computes it: it decides results."""

    name: str

    def __call__(self, samples: Audio, sample_rate: int, text: str, language: str | None) -> Sequence[TimedText] | None:
        """Return the words of `text` in its order and spelling, seconds from the first sample; None if they are not
        found.

        Shapes: samples (N,), full scale +-1.
        """


@dataclass(frozen=True)
class Spoken:
    """What a text says in one stretch of a recording; `cut` is a word that reaches over the edge of the stretch."""

    text: str
    cut: str | None = None


def spoken_between(text: str, words: Sequence[TimedText], start_s: float, end_s: float) -> Spoken | None:
    """Return the part of a text whose words lie between two times, with its punctuation; None if none does.

    A word that ends or begins with the stretch, to 50 ms, does not reach over its edge.

    >>> words = [TimedText(0.1, 0.5, "Well"), TimedText(0.5, 0.9, "then"), TimedText(2.0, 2.4, "go")]
    >>> spoken_between("Well, then. Go!", words, 0.0, 1.0)
    Spoken(text='Well, then.', cut=None)
    >>> spoken_between("Well, then. Go!", words, 0.7, 3.0)
    Spoken(text='then. Go!', cut='then')
    """
    inside = [
        number
        for number, word in enumerate(words)
        if min(word.end_s, end_s) - max(word.start_s, start_s) > min(EDGE_S, (word.end_s - word.start_s) / 2)
    ]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    over = [n for n in (first, last) if words[n].start_s < start_s - EDGE_S or words[n].end_s > end_s + EDGE_S]
    places = _places(text, words)
    if places is None:
        spoken = " ".join(word.text for word in words[first : last + 1])
    else:
        spoken = text[places[first] if first else 0 : places[last + 1] if last + 1 < len(words) else len(text)].strip()
    return Spoken(spoken, words[over[0]].text if over else None)


def _places(text: str, words: Sequence[TimedText]) -> list[int] | None:
    """Return where each word begins in the text, None if one of them is not there."""
    places, at, folded = [], 0, text.lower()
    if len(folded) != len(text):  # a letter whose small form is two
        folded = text
    for word in words:
        found = folded.find(word.text.lower() if folded is not text else word.text, at)
        if found < 0:
            return None
        places.append(found)
        at = found + len(word.text)
    return places
