"""Results of a comparison: differences, corrected for their number, and files that are read as they were written."""

import json

import numpy as np
import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.comparison import differences, result
from clean_corpus.vocoder.comparison.measures import MEASURES
from tests.support.compared import KEYS, facts, spoken


def test_the_family_is_all_sets_by_the_headlines_from_common_frames():
    """Three sets by two headlines; p of Holm's own kind: the smallest times 6, and none below one before it."""
    values = {"raw": 2.5, "a": 2.5, "b": 2.7, "c": 3.0}
    rows = [row for name, value in values.items() for row in spoken(name, np.full((3, 6), value), distillmos=True)]
    found = result.tables(rows, KEYS)
    assert differences.headlines(found) == ["distillmos", "dnsmos_p808"]
    compared = differences.between(found, [(name, "raw") for name in "abc"], differences.headlines(found))
    family = [row for row in compared if row.p_holm is not None]
    assert {(row.system, row.frames, row.measure) for row in family} == {
        (name, "common", measure) for name in "abc" for measure in ("distillmos", "dnsmos_p808")
    }
    assert len(compared) == 3 * 2 * len(MEASURES)
    least = 2 / 10_001
    assert sorted(row.p for row in family) == pytest.approx([least] * 4 + [1, 1])
    assert sorted(row.p_holm for row in family) == pytest.approx([6 * least] * 4 + [1, 1])
    assert {row.system for row in family if row.better} == {"b", "c"}


def test_lower_is_better_where_it_is_and_the_family_wants_its_own_p():
    row = differences.Difference("gated", "raw", "own", "mcd_db", -1.0, -1.5, -0.5, 0.01)
    assert row.better is True and row._replace(measure="stoi").better is False and row.reach == 1.5
    assert row._replace(p_holm=0.06).better is None and row._replace(p_holm=0.04).better is True
    assert row._replace(low=-2.0, high=0.5).better is None and row._replace(low=None).reach is None


def test_trainings_are_paired_by_seed():
    """A set whose every training gains 0.2 on its partner's, while trainings differ by far more."""
    base = np.array([[2.0], [2.5], [3.0]]) + np.linspace(0, 0.5, 6)
    found = result.tables(spoken("raw", base) + spoken("gated", base + 0.2), KEYS)
    rows = differences.in_pairs(found, [("gated", "raw")])
    (row,) = [r for r in rows if (r.frames, r.measure) == ("common", "dnsmos_p808")]
    assert (row.mean, row.low, row.high) == pytest.approx((0.2, 0.2, 0.2)) and row.p < 0.001


def test_a_result_is_read_as_it_was_written(tmp_path):
    low, high = np.full((2, 6), 2.5), np.full((2, 6), 3.25)
    low[1, 5] = np.nan
    rows = spoken("raw", low) + spoken("gated", high) + spoken("raw-again", low + 0.1, audio=False)
    curves = {"raw": [[(2, 5.0), (4, 4.5)], []], "gated": [[(2, 4.0)], []], "raw-again": [[], []]}
    about = facts("raw", "gated", aa="raw", seeds=2)
    result.write_result(rows, KEYS, curves, about, {"spoken": 6}, tmp_path)
    found, tables = result.read_result(tmp_path)
    assert found["curves"] == json.loads(json.dumps(curves)) and found["settings"] == {"spoken": 6}
    assert found["headlines"] == ["dnsmos_p808"]
    assert [(m["system"], m["frames"]) for m in found["means"]][:4] == [
        ("raw", None), ("raw", "common"), ("raw", "own"), ("gated", None),
    ]  # fmt: skip
    assert found["means"][1]["dnsmos_p808"]["mean"] == pytest.approx(2.5) and found["means"][0]["stoi"]["mean"] is None
    assert tables["gated", "own"]["dnsmos_p808"].tolist() == high.tolist() and tables["raw", None]["stoi"].shape == (
        1,
        6,
    )
    assert np.isnan(tables["raw", "common"]["dnsmos_p808"][1, 5])
    pairs = {(row["system"], row["against"]) for row in found["differences"]}
    assert pairs == {("gated", "raw"), ("raw-again", "raw")}, "the second training of a set is no comparison"
    assert result.read_scores(tmp_path / "scores.csv") == rows
    assert (tmp_path / "verdict.txt").read_text().splitlines() == found["verdict"]
    with pytest.raises(ConfigError, match=r"no comparison lies there \(no result\.json\)"):
        result.read_result(tmp_path / "other")
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="of an older version, of one training a set; compare again"):
        result.read_result(tmp_path)
