"""Statements of one recording are merged: parts joined, the same told twice counted once, contradictions left out."""

from clean_corpus.pipeline.core.types import Metadata, TimedText
from clean_corpus.pipeline.discover.statements import Statement, merge_statements


def merged(*statements):
    metadata, _, contradictions = merge_statements(Statement(i, *rest) for i, rest in enumerate(statements, 1))
    return metadata, [(c.line, c.words.partition(";")[0]) for c in contradictions]


def test_parts_are_joined_and_other_fields_kept_if_all_agree():
    one, two = Metadata("one", "ann", "CC0"), Metadata("two", "bob", "CC0")
    assert merged(("1", one), ("2", two)) == (Metadata("one two", None, "CC0"), [])


def test_the_same_part_told_twice_counts_once_and_is_completed():
    assert merged(("", Metadata("one")), ("", Metadata("one", "ann"))) == (Metadata("one", "ann"), [])
    assert merged(("", Metadata()), ("", Metadata("one"))) == (Metadata("one"), [])


def test_a_field_that_is_contradicted_is_left_out_and_the_others_stay():
    metadata, lines = merged(("", Metadata("one", "ann")), ("", Metadata("two", "ann")), ("", Metadata("one", "bob")))
    assert metadata == Metadata()
    assert lines == [
        (2, "its text is 'two', and 'one' in line 1"),
        (3, "its speaker is 'bob', and 'ann' in line 1"),
    ]
    assert merged(("", Metadata("one", "ann")), ("", Metadata("two", "ann")))[0] == Metadata(None, "ann")


def test_texts_with_an_end_are_time_stamped_and_a_disputed_one_is_not_used():
    told = [
        Statement(1, "a", Metadata("one", "ann"), 0.5, 1.5),
        Statement(2, "b", Metadata("two"), 2.0, 3.0),
        Statement(3, "b", Metadata("three"), 2.0, 3.0),
        Statement(4, "c", Metadata("four"), 4.0),
        Statement(5, "d", Metadata(None, "bob"), 5.0, 6.0),
    ]
    assert merge_statements(told)[1] == (TimedText(0.5, 1.5, "one", "ann"),)
