"""Results of a comparison: verdicts, differences, and files that are read as they were written."""

import json

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.comparison import result
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.measures import MEASURES, OPINION


def spoken(system, values):
    rest = dict.fromkeys(MEASURES)
    return [
        Spoken(system, frames, f"u{i}", rest | {OPINION: v}) for frames in (None, "own") for i, v in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("values", "better", "words"),
    [
        ([3.0, 3.1, 3.2, 3.3], True, "is predicted to sound better than that of “raw”: +0.50 (95 %"),
        ([2.0, 2.1, 2.2, 2.3], False, "is predicted to sound worse than"),
        ([2.0, 3.1, 2.2, 3.3], None, "is not shown to differ from"),
    ],
)
def test_the_verdict_follows_the_interval(values, better, words):
    rows = spoken("raw", [2.5, 2.6, 2.7, 2.8]) + spoken("gated", values)
    found = result.columns(rows, ["u0", "u1", "u2", "u3"])
    differences = result.differences(found, ["raw", "gated"])
    (opinion,) = [d for d in differences if d.measure == OPINION]
    assert opinion.better is better
    assert words in result.verdict(differences, 4)[0]


def test_lower_is_better_where_it_is():
    row = result.Difference("gated", "raw", "mcd_db", -1.0, -1.5, -0.5, 0.01)
    assert row.better is True and row._replace(measure="stoi").better is False


def test_a_result_is_read_as_it_was_written(tmp_path):
    rows = spoken("raw", [2.5, 2.75, None]) + spoken("gated", [3.0, 3.25, 3.5])
    facts = {"steps": 4, "common": 3, "hours": {"raw": 1.0, "gated": 1.0}, "took_s": {}, "twins": {}}
    curves = {"raw": [(2, 5.0), (4, 4.5)], "gated": [(2, 4.0)]}
    result.write_result(rows, ["u0", "u1", "u2"], curves, facts, {"spoken": 3}, tmp_path)
    found, columns = result.read_result(tmp_path)
    assert found["curves"] == json.loads(json.dumps(curves)) and found["settings"] == {"spoken": 3}
    assert [row["system"] for row in found["means"]] == ["raw", "raw", "gated", "gated"]
    assert found["means"][1][OPINION]["mean"] == pytest.approx(2.625) and found["means"][0]["stoi"]["mean"] is None
    assert columns["gated", "own"][OPINION].tolist() == [3.0, 3.25, 3.5]
    assert result.read_scores(tmp_path / "scores.csv") == rows
    assert (tmp_path / "verdict.txt").read_text() == f"{found['verdict'][0]}\n"
    with pytest.raises(ConfigError, match=r"no comparison lies there \(no result\.json\)"):
        result.read_result(tmp_path / "other")
