"""Columns of a line, the dialect of a table, and what three columns without a header may be."""

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.manifest_columns import declared_columns
from clean_corpus.pipeline.discover.tables import (
    ambiguous_columns,
    declared_dialect,
    header_dialect,
    split_columns,
    unknown_header,
)


@pytest.mark.parametrize(
    ("line", "quoting", "columns"),
    [
        ("a,b,", "always", ["a", "b", ""]),
        ('"a","b,c"', "always", ["a", "b,c"]),
        ('a, "b,c" ,d', "always", ["a", "b,c", "d"]),
        ('a,"x ""y"" z"', "always", ["a", 'x "y" z']),
        ('a,5" long,"b" c,d', "always", None),
        ('a,5" long,"b" c,d', "needed", ["a", '5" long', '"b" c', "d"]),
        ('a,"open', "always", None),
        ('a,"open', "needed", ["a", '"open']),
        ('a,"b"', "needed", ["a", '"b"']),
        ('a,"b,c"', "needed", ["a", "b,c"]),
        ('a,"b,c"', "none", ["a", '"b', 'c"']),
        ('""', "always", [""]),
    ],
)
def test_columns_of_a_line(line, quoting, columns):
    assert split_columns(line, ",", quoting) == columns


@pytest.mark.parametrize(
    ("line", "separator"),
    [
        ("path|text", "|"),
        ("path\tsentence", "\t"),
        ("file name;text", ";"),
        ('"path","text"', ","),
        ("hello|there", None),
        ("a|text", None),
        ("id", None),
        ("path,clip_duration", None),
    ],
)
def test_headers(line, separator):
    dialect = header_dialect(line, None)
    assert (dialect and dialect.separator) == separator


def test_a_header_with_two_columns_of_one_meaning_is_refused():
    with pytest.raises(ConfigError, match="'text' and 'sentence' both mean text"):
        header_dialect("path|text|sentence", None)


def test_declared_columns_find_their_separator():
    columns = declared_columns("audio|speaker|text")
    assert declared_dialect("a.wav;ann;one, two", None, columns).separator == ";"
    with pytest.raises(ConfigError, match="no separator gives the 3 columns of"):
        declared_dialect("a.wav;one", None, columns)


def test_a_header_that_is_not_known():
    assert "no column of text or speaker" in unknown_header("file|utterance")
    assert unknown_header("LJ001|hello there") is None


def test_what_three_columns_may_be():
    assert ambiguous_columns(f"{i}|ann|text {i}" for i in range(10_000)).startswith("'ann' is the second column")
    assert ambiguous_columns(f"{i}|text {i}|ann" for i in range(10_000)).startswith("'ann' is the third column")
    assert ambiguous_columns(f"{i}|text {i}|text {i}" for i in range(10_000)) is None
    mostly = [f"{i}|text {i}|text {i}" for i in range(8)] + ["8|St. 1|Saint one", "9|St. 1|Street one"]
    assert ambiguous_columns(mostly) is None
    assert ambiguous_columns([]) is None
