"""Subtitles and labels as people and programs write them: every text with its times, and no text of a format's own."""

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.discover.subtitles import parse_labels, parse_subtitles


def told(content):
    return [(cue.line, cue.start_s, cue.end_s, cue.text) for cue in parse_subtitles(content)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "1\n00:00:01,500 --> 00:00:02,000\nOne.\n\n2\n00:00:03,000 --> 00:00:04,5\nTwo.",
            [(2, 1.5, 2.0, "One."), (6, 3.0, 4.5, "Two.")],
        ),
        (
            "1\r\n00:00:01.5 --> 00:00:02.0\r\nOne,\r\n\r\ntwo.\r\n\r\n2\r\n00:01:00 -> 00:01:01\r\n3\r\n",
            [(2, 1.5, 2.0, "One, two."), (8, 60.0, 61.0, "3")],
        ),
        (
            '00:00:09,0 --> 00:00:08,0\n{\\an8}<font color="red"><i>Up</i></font> &amp; <b>down</b>\\Nthere\n',
            [(1, 9.0, 8.0, "Up & down there")],
        ),
        ("1\n-00:00:01,0 --> 00:00:01,0\n- Who?\n>> You.\n", [(2, -1.0, 1.0, "Who? You.")]),
        (
            "00:00:01,0 --> 00:00:02,0\n[door slams]\n\n00:00:02,0 --> 00:00:03,0\n\n"
            "00:00:03,0 --> 00:00:04,0\n(aside) No. \u266a\n",
            [(6, 3.0, 4.0, "(aside) No. \u266a")],
        ),
    ],
    ids=["plain", "windows and blank line", "formatting", "dashes and minus", "sounds and empty"],
)
def test_subrip(content, expected):
    assert told(content) == expected


def test_webvtt_has_voices_and_blocks_that_are_no_text():
    content = (
        "\ufeffWEBVTT - title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE\nnot said\n\nname of a cue\n"
        "00:01.250 --> 00:02.000 align:start position:0%\n<v.loud Ann Bee>Hel<00:01.500><c>lo</c></v>\n\nNOTE one\n\n"
        "7\n100:00:00.000 --> 100:00:01.000\n<v Ann>Yes.</v>\n<v Bob>No.</v>\n"
    )
    first, second = parse_subtitles(content)
    assert (first.start_s, first.end_s, first.text, first.speaker, first.line) == (1.25, 2.0, "Hello", "Ann Bee", 11)
    assert (second.start_s, second.text, second.speaker) == (360000.0, "Yes. No.", None), "two voices in one cue"


def test_captions_that_roll_up_count_once_and_what_is_said_twice_counts_twice():
    rolling = ["one two", "one two\nthree", "three", "three\nfour"]
    said = ["No.", "No.", "Why?", "It is late.", "So what?"]
    for texts, expected in ((rolling, ["one two", "three", "four"]), (said, said)):
        cues = "".join(f"00:0{i}.000 --> 00:0{i + 1}.000\n{text}\n\n" for i, text in enumerate(texts))
        assert [cue.text for cue in parse_subtitles("WEBVTT\n\n" + cues)] == expected


def test_a_file_without_times_is_refused():
    with pytest.raises(ConfigError, match="no time stamps such as 00:00:01,500"):
        told("Hello --> you\n")


def test_labels_are_told_from_plain_texts():
    labels = parse_labels("0.5\t1,5\tHello  there\r\n\\\t100.0\t200.0\n2\t2\tclick\n3.0\t4.0\t\n")
    assert [(c.line, c.start_s, c.end_s, c.text) for c in labels] == [
        (1, 0.5, 1.5, "Hello there"),
        (3, 2.0, 2.0, "click"),
    ]
    for text in ("", "1 2 three", "0.5\t1.5\tHello\nand more", "12\tmen", "1.5\tx\ty"):
        assert parse_labels(text) is None
