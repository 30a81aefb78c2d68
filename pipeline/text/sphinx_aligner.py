"""PocketSphinx as an aligner of English: dictionary, acoustic model and decoder are in its wheel."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.text.biased_model import write_trigrams
from clean_corpus.pipeline.text.long_alignment import Heard, Placed
from clean_corpus.pipeline.text.normalise import comparable
from clean_corpus.pipeline.text.pronunciation import plain_letters, pronunciations
from clean_corpus.pipeline.text.sphinx import decode, decoder_of_words, dictionary, without_variant
from clean_corpus.pipeline.text.words import Word

FRAME_S = 0.01
LEAST_KNOWN = 0.8  # share of a text's words that the dictionary has: of German it has a third
_FILLER = re.compile(r"[<\[+]")
_LEAST = 1e-300  # a score is a product of probabilities, which may become 0


class SphinxEngine:
    """Recognise and align the words of one English text.

    A score is the log ratio of a word's likelihood to that of the best states of each frame, a frame of 10 ms.
    """

    # of 345 words of a reader 99 % have more than -8, and of words put in place of others half have less than -10
    least_score, guess_score, sure_score = -14.0, -9.0, -5.0

    def __init__(self, *, is_english: bool) -> None:
        """`is_english` says that texts are English, which else has to show in their words."""
        self._is_english = is_english
        self._spelt: list[str | None] = []
        self._guessed: set[str] = set()
        self._decoder: Any = None

    def prepare(self, text: str, words: Sequence[Word]) -> bool:
        """Load a decoder of the words of a text; return False if it is not English."""
        ways: dict[str, Sequence[str]] = {}
        self._spelt = [self._entry(plain_letters(text[word.first : word.end]), ways) for word in words]
        known = [word for word in self._spelt if word and word not in self._guessed]
        if not known or not (self._is_english or len(known) >= LEAST_KNOWN * len(words)):
            return False
        with ScratchFolder() as folder:
            model = Path(folder, "text.arpa")
            write_trigrams(model, [word for word in self._spelt if word])
            self._decoder = decoder_of_words(ways, model, Path(folder, "text.dict"))
        return True

    def _entry(self, word: str, ways: dict[str, Sequence[str]]) -> str | None:
        """Return a word as the dictionary spells it, and note its pronunciations; None if it has none."""
        if word not in dictionary():
            word = word.strip("'")
        found = dictionary().get(word) or pronunciations(word, _first_way)
        if not found:
            return None
        if word not in dictionary() and not word[:1].isdigit():
            self._guessed.add(word)
        ways[word] = found
        return word

    def recognise(self, x: Audio) -> list[Heard]:
        """Return the words of the text that are heard in a stretch, in any order."""
        self._decoder.activate_search()
        return [
            Heard(comparable(word).replace(" ", ""), begin * FRAME_S, end * FRAME_S)
            for word, begin, end, _ in self._decoded(x)
        ]

    def align(self, x: Audio, first: int, last: int) -> list[Placed | None] | None:
        """Return where some words of the text lie in a stretch."""
        spelt = self._spelt[first : last + 1]
        wanted = [word for word in spelt if word]
        if not wanted:
            return None
        self._decoder.set_align_text(" ".join(wanted))
        found = self._decoded(x)
        if [word for word, *_ in found] != wanted:  # the end of the text was not reached
            return None
        placed = iter(
            Placed(begin * FRAME_S, end * FRAME_S, score, is_guess=word in self._guessed)
            for word, begin, end, score in found
        )
        return [next(placed) if word else None for word in spelt]

    def _decoded(self, x: Audio) -> list[tuple[str, int, int, float]]:
        """Run the decoder; return each word with its first frame, the one behind its last, and its score."""
        decode(self._decoder, x)
        found = []
        for part in self._decoder.seg() or ():
            if not _FILLER.match(part.word):
                begin, end = part.start_frame, part.end_frame + 1
                score = math.log(max(part.ascore, _LEAST)) / (end - begin)
                found.append((without_variant(part.word), begin, end, score))
        return found


def _first_way(word: str) -> str | None:
    return next(iter(dictionary().get(word, ())), None)
