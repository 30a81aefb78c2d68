"""The report of a listening test: tables of constructed results, as data, as Markdown and as a plot."""

import json

import pytest

from clean_corpus.flows.commands import listening_report
from clean_corpus.vocoder.listening.key import Key
from clean_corpus.vocoder.listening.results import Results
from clean_corpus.vocoder.listening.statistics import Comparison, Preference, Score


def results(mode: str, *, systems=("raw", "clean"), excluded=None, listeners=("ann", "bob"), **tables) -> Results:
    key = Key("s1", mode, list(systems), ["u0", "u1"], "clean", clips={}, trials={}, traps={}, headphones={})
    return Results(key, [*listeners], excluded or {}, **tables)


RATED = {
    "scores": [Score("raw", 8, 3.1, None, None), Score("clean", 8, 4.2, 4.0, 4.4)],
    "comparisons": [Comparison("raw", "clean", 2, -1.1, 0.0, 0.0004, 0.0012)],
}
CHOSEN = {
    "preferences": [
        Preference("raw", "clean", 3, 1, 6, 1 / 3, 0.0749, 0.7007, 0.5078),
        Preference("raw", "new", 0, 4, 0, None, None, None, None),
        Preference("new", "clean", 0, 0, 12, 0.0, 0.0, 0.2646, 0.0005),
    ]
}


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]


def test_results_are_plain_data():
    data = listening_report.as_json(results("acr", excluded={"eve": ["traps"]}, **RATED))
    assert json.loads(json.dumps(data)) == {
        "study": "s1", "mode": "acr", "systems": ["raw", "clean"], "utterances": ["u0", "u1"], "reference": "clean",
        "listeners": ["ann", "bob"], "excluded": {"eve": ["traps"]},
        "scores": [
            {"system": "raw", "ratings": 8, "mean": 3.1, "low": None, "high": None},
            {"system": "clean", "ratings": 8, "mean": 4.2, "low": 4.0, "high": 4.4},
        ],
        "comparisons": [
            {"system": "raw", "against": "clean", "utterances": 2, "difference": -1.1, "statistic": 0.0, "p": 0.0004,
             "p_holm": 0.0012},
        ],
        "preferences": [],
    }  # fmt: skip


def test_ratings_have_the_best_first_and_their_tests():
    text = listening_report.report(results("acr", **RATED))
    assert text.startswith("# Listening test s1\n\n2 listeners counted, 0 not; 2 utterances, 2 systems.\n")
    assert rows(text) == [
        "| system | ratings | MOS | 95 % interval |",
        "| clean (reference) | 8 | 4.20 | 4.00 to 4.40 |",
        "| raw | 8 | 3.10 |  |",
        "| system | against | difference | utterances | p | p, Holm |",
        r"| raw | clean (reference) | -1.10 | 2 | < 0.001 | 0.001 \* |",
    ]
    assert "number of tests, 1." in text and "Listeners not counted" not in text


def test_an_interval_of_one_listener_is_said_to_be_of_utterances_alone():
    alone = "It is of other utterances alone: one listener says nothing of others."
    assert alone in listening_report.report(results("acr", listeners=["ann"], **RATED))
    assert alone not in listening_report.report(results("acr", **RATED))


def test_sliders_are_means_with_one_digit():
    comparison = Comparison("raw", "clean", 2, 12.34, 0.0, None, None)
    text = listening_report.report(
        results("mushra", scores=[Score("raw", 8, 70.2, 69.96, 71.0)], comparisons=[comparison])
    )
    assert rows(text) == [
        "| system | ratings | mean | 95 % interval |",
        "| raw | 8 | 70.2 | 70.0 to 71.0 |",
        "| system | against | difference | utterances | p | p, Holm |",
        "| raw | clean (reference) | +12.3 | 2 |  |  |",
    ]


def test_choices_are_counts_and_the_share_of_those_that_chose():
    assert rows(listening_report.report(results("ab", systems=("raw", "new", "clean"), **CHOSEN))) == [
        "| system | against | preferred | no difference | against preferred | share | 95 % interval | p |",
        "| raw | clean (reference) | 3 | 1 | 6 | 33.3 % | 7.5 to 70.1 % | 0.508 |",
        "| raw | new | 0 | 4 | 0 |  |  |  |",
        r"| new | clean (reference) | 0 | 0 | 12 | 0.0 % | 0.0 to 26.5 % | < 0.001 \* |",
    ]


def test_listeners_that_do_not_count_are_named_with_the_reasons():
    text = listening_report.report(results("acr", excluded={"e|ve": ["traps: 2 of 2 wrong", "all\nalike"]}, **RATED))
    assert "2 listeners counted, 1 not" in text
    assert rows(text)[-1] == r"| e\|ve | traps: 2 of 2 wrong; all alike |"


@pytest.mark.parametrize(("name", "cell"), [("a|b*<b>", r"a\|b\*\<b\>"), ("`[x](y)`#_", r"\`\[x\](y)\`\#\_")])
def test_names_stay_text_in_markdown(name, cell):
    text = listening_report.report(results("acr", systems=(name,), scores=[Score(name, 1, 3.0, None, None)]))
    assert rows(text)[1] == f"| {cell} | 1 | 3.00 |  |"


@pytest.mark.parametrize(
    ("mode", "tables", "words"),
    [
        ("acr", RATED, ("raw", "clean", "naturalness, MOS 1 to 5")),
        ("mushra", RATED, ("raw", "clean", "quality, 0 to 100")),
        ("ab", CHOSEN, ("raw", "new", "clean", "3", "1", "6", "12", "share of choices")),
    ],
)
def test_a_plot_names_systems_counts_and_its_axis_and_has_the_same_bytes_each_time(tmp_path, mode, tables, words):
    path = listening_report.plot(results(mode, **tables), tmp_path / "x.svg")
    first = path.read_bytes()
    assert all(f">{word}<" in first.decode() for word in words)
    assert listening_report.plot(results(mode, **tables), path).read_bytes() == first


def test_dollars_in_a_name_are_no_mathematics(tmp_path):
    scores = [Score("$x$", 1, 3.0, None, None)]
    text = listening_report.plot(results("acr", systems=("$x$",), scores=scores), tmp_path / "x.svg").read_text()
    assert ">$x$<" in text
