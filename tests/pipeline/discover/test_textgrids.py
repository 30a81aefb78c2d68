"""TextGrids, long and short: the tiers that hold utterances, and none of words or phones."""

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.discover.textgrids import parse_textgrid


def long_form(*tiers):
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 9 ", "tiers? <exists> "]
    lines += [f"size = {len(tiers)}", "item []: "]
    for number, (kind, name, marks) in enumerate(tiers, 1):
        head = (f'class = "{kind}"', f'name = "{name}"', "xmin = 0", "xmax = 9")
        lines += [f"    item [{number}]:", *(f"        {line}" for line in head)]
        part = "intervals" if kind == "IntervalTier" else "points"
        lines.append(f"        {part}: size = {len(marks)}")
        for place, (*times, text) in enumerate(marks, 1):
            lines.append(f"        {part} [{place}]:")
            lines += [f"            {key} = {value}" for key, value in zip(("xmin", "xmax"), times, strict=False)]
            lines.append('            text = "{}"'.format(text.replace('"', '""')))
    return "\n".join(lines) + "\n"


def short_form(*tiers):
    values = ['"ooTextFile"', '"TextGrid"', "", "0", "9", "<exists>", str(len(tiers))]
    for kind, name, marks in tiers:
        values += [f'"{kind}"', f'"{name}"', "0", "9", str(len(marks))]
        for *times, text in marks:
            values += [*map(str, times), '"{}"'.format(text.replace('"', '""'))]
    return "File type = " + "\r\n".join(values) + "\r\n"


def tier(name, *marks, kind="IntervalTier"):
    return kind, name, marks


SAID = tier("Utterances", (0, 0.5, ""), (0.5, 1.25, 'He said "no"\nat [1] = 2.'), (1.25, 2.0, "sil"), (2.0, 3.0, "So."))
WORDS, PHONES = tier("words", (0.5, 0.8, "He")), tier("ann - phones", (0.5, 0.6, "h"))
CLICKS = tier("noises", (0.7, "click"), kind="TextTier")


@pytest.mark.parametrize("form", [long_form, short_form])
def test_both_forms_give_the_utterances(form):
    cues = parse_textgrid(form(CLICKS, WORDS, SAID, PHONES))
    assert [(c.start_s, c.end_s, c.text, c.speaker) for c in cues] == [
        (0.5, 1.25, 'He said "no" at [1] = 2.', None),
        (2.0, 3.0, "So.", None),
    ]
    assert [c.text for c in parse_textgrid(form(WORDS, SAID), "WORDS")] == ["He"]


def test_a_tier_a_speaker_and_a_single_one():
    ann, bob = tier("ann", (0, 1, "Hello.")), tier("bob", (1, 2, "Hi."))
    assert [(c.text, c.speaker) for c in parse_textgrid(long_form(ann, bob, PHONES))] == [
        ("Hello.", "ann"),
        ("Hi.", "bob"),
    ]
    assert [(c.text, c.speaker) for c in parse_textgrid(long_form(ann, WORDS))] == [("Hello.", None)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (long_form(WORDS, PHONES), "no tier holds utterances: there are 'words', 'ann - phones'; name one with"),
        (long_form(SAID)[:-60], "ends early"),
        ("1\n00:00:01,000 --> 00:00:02,000\nhello\n", "no TextGrid|ends early"),
        ("", "ends early"),
    ],
)
def test_what_is_not_understood_is_refused(content, words):
    with pytest.raises(ConfigError, match=words):
        parse_textgrid(content)
    with pytest.raises(ConfigError, match=r"called 'x', as manifest.tier says; there are 'Utterances'"):
        parse_textgrid(long_form(SAID), "x")
