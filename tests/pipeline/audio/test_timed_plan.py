"""Where time-stamped texts have a recording cut: at the pauses meant, never within a word that one of them holds."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio.timed_plan import Heard, plan
from clean_corpus.pipeline.audio.voice_activity import WINDOW_S
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.types import TimedText


def heard(length_s, *speech_s, dips_s=()):
    """Speech in these spans, with dips of power at some times of it."""
    n = round(length_s / WINDOW_S)
    speech = np.zeros(n, np.bool_)
    for start_s, end_s in speech_s:
        speech[round(start_s / WINDOW_S) : round(end_s / WINDOW_S)] = True
    power = np.where(speech, 1.0, 1e-4)
    for dip_s in dips_s:
        power[round(dip_s / WINDOW_S)] = 0.1
    return Heard(speech, speech.astype(np.float32), power)


def told(*texts):
    return [TimedText(start_s, end_s, text, *speaker) for start_s, end_s, text, *speaker in texts]


def pieces_of(texts, listened, **settings):
    """Return start, end in seconds and texts of each piece."""
    found = plan(texts, listened, SegmentConfig(**settings))
    for piece in found:
        assert 0 <= piece.low <= piece.start < piece.end <= piece.high <= len(listened.speech)
    edges = [(round(p.start * WINDOW_S, 1), round(p.end * WINDOW_S, 1)) for p in found]
    return [(*both, " ".join(t.text for t in p.texts)) for both, p in zip(edges, found, strict=True)]


SENTENCES = (1.0, 5.0), (5.6, 9.0), (9.7, 14.0)


@pytest.mark.parametrize("early_s", [-0.35, -0.1, 0.0, 0.1, 0.35])
def test_times_that_are_off_still_lead_to_the_pauses(early_s):
    texts = told(*((a - early_s, b - early_s, name) for (a, b), name in zip(SENTENCES, "abc", strict=True)))
    assert pieces_of(texts, heard(15, *SENTENCES)) == [(1.0, 5.0, "a"), (5.6, 9.0, "b"), (9.7, 14.0, "c")]


def test_subtitles_without_a_gap_are_cut_in_the_pause_and_not_at_their_time():
    texts = told((0.5, 5.3, "a"), (5.3, 9.4, "b"), (9.4, 15.0, "c"))
    assert [p[:2] for p in pieces_of(texts, heard(15, *SENTENCES))] == [(1.0, 5.0), (5.6, 9.0), (9.7, 14.0)]


def test_short_neighbours_of_one_speaker_are_joined_up_to_the_target():
    speech = (1.0, 2.5), (3.0, 4.5), (5.0, 6.5), (10.0, 10.4), (11.0, 16.0)
    texts = told(*((a, b, f"{i}", "ann") for i, (a, b) in enumerate(speech)))
    assert pieces_of(texts, heard(17, *speech)) == [(1.0, 6.5, "0 1 2"), (10.0, 16.0, "3 4")], "and what is too short"
    assert [p[2] for p in pieces_of(texts, heard(17, *speech), target_s=4.0)] == ["0 1", "2", "3 4"]
    others = [*texts[:1], *told((3.0, 4.5, "1", "bob")), *texts[2:]]
    assert [p[2] for p in pieces_of(others, heard(17, *speech))] == ["0", "1", "2", "3 4"]


def test_where_no_pause_is_one_speaker_s_texts_are_joined_and_others_are_cut_where_it_is_quietest():
    listened = heard(12, (1.0, 11.0), dips_s=(5.12,))
    assert pieces_of(told((1.0, 5.0, "a"), (5.0, 11.0, "b")), listened) == [(1.0, 11.0, "a b")]
    two = told((1.0, 5.0, "a", "ann"), (5.0, 11.0, "b", "bob"))
    assert pieces_of(two, listened) == [(1.0, 5.1, "a"), (5.1, 11.0, "b")]
    joined = pieces_of(told((1.0, 5.0, "a"), (5.0, 11.0, "b")), listened, max_s=8.0)
    assert joined == [(1.0, 5.1, "a"), (5.1, 11.0, "b")], "together they are too long"


def test_speech_outside_all_texts_is_a_piece_without_text():
    listened = heard(30, (1.0, 3.0), (5.0, 8.0), (10.0, 10.1), (12.0, 20.0))
    texts = told((5.0, 8.0, "a"), (12.0, 15.0, "b"))
    found = pieces_of(texts, listened)
    assert found[:2] == [(1.0, 3.0, ""), (5.0, 8.0, "a")], "0.1 s at 10 s is less than min_speech_s"
    assert [p[2] for p in found[2:]] == ["b", ""] and found[2][1] == found[3][0] == pytest.approx(15.0, abs=0.25)


def test_a_text_that_is_too_long_is_cut_at_pauses_into_parts():
    listened = heard(60, (1.0, 12.0), (12.5, 30.0), (31.0, 40.0))
    found = plan(told((0.5, 41.0, "all")), listened, SegmentConfig())
    assert all(p.is_part and p.texts[0].text == "all" for p in found)
    assert [round(p.start * WINDOW_S, 1) for p in found] == [1.0, 12.5, 31.0]
    silent = plan(told((0.5, 41.0, "all")), heard(60, (5.0, 9.0)), SegmentConfig())
    assert [p.is_part for p in silent] == [False], "of 40 s, 4 s are speech"


def test_texts_of_two_speakers_at_once_belong_to_neither_and_of_one_to_each_other():
    listened = heard(12, (1.0, 11.0))
    found = plan(told((1.0, 6.0, "a", "ann"), (5.0, 11.0, "b", "bob")), listened, SegmentConfig())
    assert [(p.texts[0].text, p.overlaps.text) for p in found] == [("a", "b"), ("b", "a")]
    same = plan(told((1.0, 6.0, "a"), (5.0, 11.0, "b"), (5.5, 11.0, "b")), listened, SegmentConfig())
    assert [[t.text for t in p.texts] for p in same] == [["a", "b"]]


def test_a_text_in_silence_and_one_behind_the_end():
    listened = heard(10, (1.0, 3.0))
    found = plan(told((1.0, 3.0, "a"), (5.0, 6.0, "b"), (20.0, 21.0, "c")), listened, SegmentConfig())
    assert [[t.text for t in p.texts] for p in found] == [["a"], ["b"]]
    assert not listened.speech[found[1].start : found[1].end].any()
    assert plan(told((0.0, 1.0, "a")), heard(0), SegmentConfig()) == []
