"""Words of a text with their times in a recording, and what a clip of it so says."""

from collections.abc import Sequence
from dataclasses import dataclass

from clean_corpus.pipeline.text.words import Word, stretch

EDGE_S = 0.05  # of a word that reaches over the edge of a clip: where words begin and end is not known better


@dataclass(frozen=True, slots=True)
class Located:
    """When a word is spoken, seconds; not `is_sure` says that it may be elsewhere, or not be spoken at all."""

    start_s: float
    end_s: float
    is_sure: bool


@dataclass(frozen=True)
class Spoken:
    """What a text says in one stretch of a recording; `cut` is a word that reaches over the edge of the stretch."""

    text: str
    cut: str | None = None


@dataclass(frozen=True)
class Alignment:
    """The words of a text, where each is spoken, None where nobody knows, and stretches that may hold something else.

    Words that have a place are in the order of time. Doubts are begin and end, seconds.
    """

    text: str
    words: Sequence[Word]
    located: Sequence[Located | None]
    doubts: Sequence[tuple[float, float]]

    def between(self, start_s: float, end_s: float) -> Spoken | None:
        """Return what is spoken in a stretch: None if that is not sure, or if nothing is.

        A word that ends or begins within 50 ms of an edge does not reach over it.

        >>> at = [Located(0.1, 0.5, True), Located(0.5, 0.9, True), Located(2.0, 2.4, True)]
        >>> text = "Well, then. Go!"
        >>> alignment = Alignment(text, [Word(0, 4, "well"), Word(6, 10, "then"), Word(12, 14, "go")], at, [])
        >>> alignment.between(0.0, 1.0), alignment.between(0.7, 3.0), alignment.between(1.0, 1.5)
        (Spoken(text='Well, then.', cut=None), Spoken(text='then. Go!', cut='then'), None)
        """
        inside = [n for n, at in enumerate(self.located) if at and _holds(start_s, end_s, at)]
        if not inside or any(overlap(*doubt, start_s, end_s) > EDGE_S for doubt in self.doubts):
            return None
        first, last = inside[0], inside[-1]
        spoken = [self.located[n] for n in range(first, last + 1)]
        if not all(at and at.is_sure for at in spoken):
            return None
        over = None
        for n in (first, last):
            at = self.located[n]
            if at and (at.start_s < start_s - EDGE_S or at.end_s > end_s + EDGE_S):
                over = self.text[self.words[n].first : self.words[n].end]
        return Spoken(stretch(self.text, self.words, first, last), over)


def overlap(start_s: float, end_s: float, other_start_s: float, other_end_s: float) -> float:
    """Return the seconds that two stretches have in common, negative if they are apart.

    >>> overlap(0.0, 2.0, 1.5, 3.0), overlap(0.0, 1.0, 1.5, 2.0)
    (0.5, -0.5)
    """
    return min(end_s, other_end_s) - max(start_s, other_start_s)


def _holds(start_s: float, end_s: float, at: Located) -> bool:
    return overlap(at.start_s, at.end_s, start_s, end_s) > min(EDGE_S, (at.end_s - at.start_s) / 2)
