"""Alignment of a recording of any length with all of its text, through anchors: words heard in the text's order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.text.alignment import Alignment, Located
from clean_corpus.pipeline.text.anchors import common_words
from clean_corpus.pipeline.text.spool import Piece, Spool
from clean_corpus.pipeline.text.words import Word, split_words

VERSION = 2  # raise it when the same model gives other times
REGION_S = 60.0  # of pieces in which the words between two anchors are looked for together
AGREE_S = 0.3  # between the time at which a word was recognised and that at which it was aligned
FASTEST_S = 0.03  # of a letter; where less room is than a word's letters want, it is not spoken
LEAST_HEARD_S = 0.08  # of a word beside the text: clicks are heard as shorter ones


@dataclass(frozen=True, slots=True)
class Heard:
    """A word that was recognised, by its key; seconds."""

    key: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A word that was aligned; `score` is at most 0 and falls as it fits the sound worse than something else would.

    `is_guess` says that its pronunciation is not known.
    """

    start_s: float
    end_s: float
    score: float
    is_guess: bool = False


class Engine(Protocol):
    """An acoustic model that recognises and aligns the words of one text."""

    least_score: float
    """Of a word that was recognised, too."""
    guess_score: float
    """Of one whose pronunciation is a guess, between two that were recognised."""
    sure_score: float
    """Of one between two that were recognised which itself was not."""

    def prepare(self, text: str, words: Sequence[Word]) -> bool:
        """Take the text that is looked for; return whether it is in the model's language."""
        ...

    def recognise(self, x: Audio) -> list[Heard]:
        """Return the words that are heard in a stretch, in order, seconds from its first sample."""
        ...

    def align(self, x: Audio, first: int, last: int) -> list[Placed | None] | None:
        """Return where words `first` to `last` of the text lie in a stretch, None for one that cannot be spelt.

        None for all if they do not fit into it.
        """
        ...


def align(engine: Engine, pieces: Iterable[Piece], text: str) -> Alignment | None:
    """Return when the words of a text are spoken in a recording that comes in pieces; None if that cannot be told.

    First the words of the text are recognised in each piece, in any order. Those heard in the order of the text are
    anchors; the text between is aligned in the one piece in which it must lie, or in several together. So a mistake in
    the text costs its surroundings alone. A word is sure if it was recognised where it was aligned, or if it lies
    between two such words and fits the sound well.

    Source: Moreno et al. 1998, "A recursive algorithm for the forced alignment of very long audio segments", one level.
    """
    words = split_words(text)
    if not words or not engine.prepare(text, words):
        return None
    heard: list[Heard] = []
    of_piece: list[int] = []
    with Spool() as spool:
        for piece in pieces:
            number = spool.add(piece)
            for word in engine.recognise(piece.samples):
                heard.append(replace(word, start_s=word.start_s + piece.start_s, end_s=word.end_s + piece.start_s))
                of_piece.append(number)
        anchors = common_words([word.key for word in words], [word.key for word in heard])
        if not anchors:
            return None
        at_anchor = {i: heard[j] for i, j in anchors}
        located: list[Located | None] = [None] * len(words)
        for region in _regions([(i, of_piece[j]) for i, j in anchors], spool, len(words)):
            for n, at in _locate(engine, spool, region, at_anchor).items():
                located[n] = at
        end_s = max(end_s for _, end_s in spool.spans())
    _unsure_if_out_of_order(located)
    return Alignment(text, words, located, [*_gaps(words, located, end_s), *_heard_beside(heard, anchors)])


# ---- regions -----------------------------------------------------------------------------------------------------


@dataclass
class _Region:
    """Pieces in which some words are looked for together: all numbers are of the first and the last one."""

    first_piece: int
    last_piece: int
    first: int
    last: int


def _regions(anchors: Sequence[tuple[int, int]], spool: Spool, n_words: int) -> list[_Region]:
    """Return which pieces hold which words, from (word, piece) of each anchor.

    Words between the last anchor of a piece and the first of a later one may lie in either, so the pieces are one
    region, as long as they fit into REGION_S; and so it is with words before the first anchor and after the last.
    """
    regions: list[_Region] = []
    for word, piece in anchors:
        last = regions[-1] if regions else None
        if last and piece == last.last_piece:
            last.last = word
        elif last and word > last.last + 1 and spool.seconds(last.first_piece, piece) <= REGION_S:
            last.last_piece, last.last = piece, word
        else:
            regions.append(_Region(piece, piece, word, word))
    first, last = regions[0], regions[-1]
    if first.first and spool.seconds(0, first.last_piece) <= REGION_S:
        first.first_piece = first.first = 0
    if last.last < n_words - 1 and spool.seconds(last.first_piece, len(spool) - 1) <= REGION_S:
        last.last_piece, last.last = len(spool) - 1, n_words - 1
    return regions


def _locate(engine: Engine, spool: Spool, region: _Region, at_anchor: Mapping[int, Heard]) -> dict[int, Located]:
    """Return the words of a region with their times; where they cannot be aligned, those that were recognised."""
    x = spool.samples(region.first_piece, region.last_piece)
    found = engine.align(x, region.first, region.last)
    numbers = range(region.first, region.last + 1)
    if found is None:
        return {n: Located(at_anchor[n].start_s, at_anchor[n].end_s, False) for n in numbers if n in at_anchor}
    placed: dict[int, Placed] = {}
    for n, at in zip(numbers, found, strict=True):
        if at is not None:
            start_s = spool.in_recording(region.first_piece, at.start_s, begins=True)
            end_s = spool.in_recording(region.first_piece, at.end_s, begins=False)
            placed[n] = replace(at, start_s=start_s, end_s=end_s)
    agreeing = {n for n, at in placed.items() if n in at_anchor and _agree(at, at_anchor[n])}
    agreeing = {n for n in agreeing if placed[n].score >= engine.least_score}
    sure = {n: n in agreeing or _fits(engine, at, n, agreeing, region) for n, at in placed.items()}
    return {n: Located(at.start_s, at.end_s, sure[n]) for n, at in placed.items()}


def _agree(placed: Placed, heard: Heard) -> bool:
    return abs(placed.start_s - heard.start_s) <= AGREE_S and abs(placed.end_s - heard.end_s) <= AGREE_S


def _fits(engine: Engine, at: Placed, n: int, agreeing: set[int], region: _Region) -> bool:
    """Return whether a word that was not recognised is spoken all the same: its neighbours are, and it sounds so."""
    beside = {max(n - 1, region.first), min(n + 1, region.last)} - {n}
    return (
        bool(beside) and beside <= agreeing and at.score >= (engine.guess_score if at.is_guess else engine.sure_score)
    )


# ---- doubts ------------------------------------------------------------------------------------------------------


def _unsure_if_out_of_order(located: list[Located | None]) -> None:
    """Take away the certainty of words of different regions that overlap or run backwards."""
    last = 0.0
    for n, at in enumerate(located):
        if at is not None:
            if at.start_s < last - AGREE_S:
                located[n] = replace(at, is_sure=False)
            last = max(last, at.end_s)


def _gaps(words: Sequence[Word], located: Sequence[Located | None], end_s: float) -> list[tuple[float, float]]:
    """Return the stretches in which words that were not found may be spoken, those that have room for them."""
    gaps = []
    begin, letters = 0.0, 0
    for word, at in zip((*words, None), (*located, Located(end_s, end_s, True)), strict=True):
        if at is None:
            letters += len(word.key) if word else 0
            continue
        if letters and at.start_s - begin >= FASTEST_S * letters:
            gaps.append((begin, at.start_s))
        begin, letters = max(begin, at.end_s), 0
    return gaps


def _heard_beside(heard: Sequence[Heard], anchors: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return the stretches in which more words were heard between two anchors than the text has there."""
    doubts = []
    last_i = last_j = -1
    for i, j in [*anchors, (anchors[-1][0] + 1, len(heard))]:
        between = heard[last_j + 1 : j]
        if len(between) > i - last_i - 1:
            doubts += [(word.start_s, word.end_s) for word in between if word.end_s - word.start_s >= LEAST_HEARD_S]
        last_i, last_j = i, j
    return doubts
