"""Screening of listeners, each of whom does one thing wrong."""

import pytest

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening.results import analyse
from tests.support.listening import by_system, export, key_of, write_export


def test_listeners_are_screened_by_name_and_reason(tmp_path, keep):
    key = key_of()
    fine = by_system(good=5, middle=3, bad=1)
    people = {
        "fine": export(key, "fine", fine, wrong_tones=1),
        "loudspeakers": export(key, "loudspeakers", fine, wrong_tones=2),
        "asleep": export(key, "asleep", fine, wrong_traps=1),
        "stuck": export(key, "stuck", lambda s, u: 3),
        "gone": export(key, "gone", fine)[:-4],
        "all of it": export(key, "all of it", lambda s, u: 3, wrong_tones=6, wrong_traps=2),
    }
    results = analyse([write_export(tmp_path / f"{name}.csv", rows) for name, rows in people.items()], keep(key))
    assert results.listeners == ["fine"]
    assert results.excluded == {
        "loudspeakers": ["headphone check: 4 of 6 right, 5 needed"],
        "asleep": ["traps: 1 of 2 answered as asked"],
        "stuck": ["all 18 answers are the same: 3"],
        "gone": ["incomplete: 14 of 18 trials answered"],
        "all of it": [
            "headphone check: 0 of 6 right, 5 needed",
            "traps: 0 of 2 answered as asked",
            "all 18 answers are the same: 3",
        ],
    }
    with pytest.raises(DataError, match="none of 1 listeners is left after screening: asleep: traps: 1 of 2"):
        analyse([tmp_path / "asleep.csv"], keep(key))


def test_uniform_preferences_are_no_opinion(tmp_path, keep):
    key = key_of("ab", systems=["good", "bad"])
    always_a = export(key, "left", lambda s, u: float(s == "good"))
    with pytest.raises(DataError, match="left: all 6 answers are the same: A"):
        analyse([write_export(tmp_path / "left.csv", always_a)], keep(key))


def test_a_hidden_reference_that_is_rated_low_excludes(tmp_path, keep):
    key = key_of("mushra", reference="good")
    fine = export(key, "fine", by_system(good=100, middle=62, bad=0))
    deaf = export(key, "deaf", by_system(good=80, middle=62, bad=10))
    results = analyse([write_export(tmp_path / "1.csv", fine), write_export(tmp_path / "2.csv", deaf)], keep(key))
    assert results.excluded == {"deaf": ["hidden reference below 90 in 6 of 6 trials"]}
