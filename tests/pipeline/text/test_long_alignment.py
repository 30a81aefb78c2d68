"""Which words are sure, and what a clip says, with an engine whose answers are known."""

import numpy as np
import pytest

from clean_corpus.pipeline.text.alignment import Spoken
from clean_corpus.pipeline.text.long_alignment import Heard, Placed, align
from clean_corpus.pipeline.text.spool import Piece, Spool

WORD_S, LETTER_S = 0.5, 0.1


class Script:
    """An engine for recordings whose samples are the numbers of words: half a second each of one value."""

    least_score, guess_score, sure_score = -10.0, -5.0, -2.0

    def __init__(self, vocabulary: str, deaf: str = "", scores=None):
        self.vocabulary, self.deaf, self.scores = vocabulary.split(), deaf.split(), scores or {}

    def record(self, said: str) -> np.ndarray:
        numbers = [self.vocabulary.index(word) + 1 for word in said.split()]
        return np.repeat(np.float32(numbers) / 100, int(WORD_S * 16000))

    def words_in(self, x):
        return [self.vocabulary[round(float(value) * 100) - 1] for value in x[4000 :: int(WORD_S * 16000)]]

    def prepare(self, text, words):
        self.text = [word.key for word in words]
        return True

    def recognise(self, x):
        return [Heard(w, n * WORD_S, (n + 1) * WORD_S) for n, w in enumerate(self.words_in(x)) if w not in self.deaf]

    def align(self, x, first, last):
        """Place each word where it is said next; one that is not said fails all."""
        said, at, found = self.words_in(x), 0, []
        for word in self.text[first : last + 1]:
            if word not in said[at:]:
                return None
            at = said.index(word, at)
            found.append(Placed(at * WORD_S, (at + 1) * WORD_S, self.scores.get(word, -1.0)))
            at += 1
        return found


def aligned(engine: Script, said: list[str], text: str):
    """Align pieces that begin 10 s apart; return what each says."""
    pieces = [Piece(10.0 * n, engine.record(words)) for n, words in enumerate(said)]
    found = align(engine, pieces, text)
    return [found and found.between(10.0 * n - 0.2, 10.0 * n + 9) for n in range(len(said))]


VOCABULARY = "one two three four five six seven eight nine ten other"


def test_each_piece_gets_its_words():
    said = ["one two three", "four five six", "seven eight nine"]
    found = aligned(Script(VOCABULARY), said, "One, two three. Four five six? Seven eight, nine!")
    assert found == [Spoken("One, two three."), Spoken("Four five six?"), Spoken("Seven eight, nine!")]


@pytest.mark.parametrize(("score", "text"), [(-1.0, "Four five six?"), (-3.0, None)])
def test_a_word_that_was_not_recognised_has_to_sound_right(score, text):
    engine = Script(VOCABULARY, deaf="five", scores={"five": score})
    found = aligned(engine, ["one two three", "four five six"], "One two three. Four five six?")
    assert found == [Spoken("One two three."), text and Spoken(text)]


def test_words_between_two_pieces_are_looked_for_in_both():
    engine = Script(VOCABULARY, deaf="three four")
    found = align(engine, [Piece(0.0, engine.record("one two three")), Piece(10.0, engine.record("four five six"))],
                  "one two three four five six")  # fmt: skip
    assert [round(at.start_s, 2) for at in found.located] == [0.0, 0.5, 1.0, 10.0, 10.5, 11.0]


def test_a_mistake_in_the_text_costs_its_surroundings_alone():
    said = ["one two three", "four five six", "seven eight nine"]
    missing = aligned(Script(VOCABULARY), said, "One two three. Four six. Seven eight nine.")
    assert missing == [Spoken("One two three."), None, Spoken("Seven eight nine.")]
    unspoken = aligned(Script(VOCABULARY), said, "One two three. Four five other six. Seven eight nine.")
    assert unspoken == [Spoken("One two three."), None, Spoken("Seven eight nine.")]
    beside = aligned(Script(VOCABULARY), [said[0], "other other", said[2]], "One two three. Seven eight nine.")
    assert beside == [Spoken("One two three."), None, Spoken("Seven eight nine.")]


def test_a_word_at_the_edge_of_a_clip_is_cut():
    engine = Script(VOCABULARY)
    found = align(engine, [Piece(0.0, engine.record("one two three four"))], "one two three four")
    assert found.between(0.0, 1.25) == Spoken("one two three", "three")
    assert found.between(0.0, 1.04) == Spoken("one two")
    assert found.between(5.0, 6.0) is None


def test_nothing_is_said_of_a_text_that_is_another():
    engine = Script(VOCABULARY)
    assert align(engine, [Piece(0.0, engine.record("one two"))], "nine ten") is None
    assert align(engine, [Piece(0.0, engine.record("one two"))], "\u2026") is None
    engine.prepare = lambda *_: False
    assert align(engine, [Piece(0.0, engine.record("one two"))], "one two") is None


def test_a_spool_gives_back_what_it_took():
    with Spool() as spool:
        parts = [np.linspace(-1, 1, n, dtype=np.float32) for n in (1600, 800, 3200)]
        for number, part in enumerate(parts):
            assert spool.add(Piece(10.0 * number, part)) == number
        np.testing.assert_allclose(spool.samples(1, 2), np.concatenate(parts[1:]), atol=1 / 32767)
        assert (spool.seconds(0, 1), len(spool)) == (0.15, 3)
        begins = [spool.in_recording(0, t, begins=True) for t in (0.05, 0.1, 0.125, 0.2)]
        assert begins == pytest.approx([0.05, 10.0, 10.025, 20.05])
        assert spool.in_recording(0, 0.1, begins=False) == pytest.approx(0.1)
        assert spool.in_recording(1, 9.0, begins=False) == pytest.approx(20.2)
