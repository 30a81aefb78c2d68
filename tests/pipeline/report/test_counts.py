"""Counts of a ledger: exact for all of it, estimated from a sample where curves are drawn."""

import hashlib

import pytest

from clean_corpus.pipeline.core.types import Verdict
from clean_corpus.pipeline.report import counts
from clean_corpus.pipeline.report.counts import Count
from clean_corpus.pipeline.report.page import write_report
from tests.support.ledgers import HOSTILE, audio, clip, figure, ledger, mixed, run_of


def long_ledger() -> list[dict]:
    """1200 clips of 10 s, a third of them good enough as they are, a third once enhanced, a third in no version."""
    thirds = [
        {"before": 3.0, "after": 3.4},
        {"before": 2.0, "after": 3.0},
        {"before": 1.5, "after": 2.0, "verdict": "rejected", "reason": "dnsmos_ovrl"},
    ]
    return [clip(f"clip-{i:04}", duration_s=10.0, chosen="enhanced", **thirds[i % 3]) for i in range(1200)]


def test_a_long_ledger_is_counted_whole_and_its_curves_are_a_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "SAMPLED", 300)
    page = write_report(
        ledger(tmp_path, long_ledger(), rows_per_group=100), run_of(), tmp_path / "report", audio
    ).read_text()
    exact = {"in-clips": "1,200", "in-duration": "3.33 h", "kept-clips": "800", "rejected-clips": "400"}
    exact |= {"kept-duration": "2.22 h", "ovrl-before": "2.50", "ovrl-after": "3.20"}
    assert {name: figure(page, name) for name in exact} == exact
    assert page.count("of 300 of the 1,200 clips, drawn by a hash of their names") == 2
    # A third, of 300 of 1200 drawn without replacement, has a standard deviation of 0.0236; three of 200 min: 14.2 min.
    for name, minutes in (("yield-raw", 400 / 6), ("yield-enhanced", 800 / 6)):
        value, unit = figure(page, name).split()
        assert float(value) * {"h": 60, "min": 1}[unit] == pytest.approx(minutes, abs=14.2)
    assert "hours kept" in page  # the sample's own 50 min would be drawn in minutes


def test_a_ledger_as_long_as_the_sample_is_drawn_whole(tmp_path, monkeypatch):
    pages = []
    for sampled in (len(mixed()), len(mixed()) + 1):
        monkeypatch.setattr(counts, "SAMPLED", sampled)
        page = write_report(ledger(tmp_path, mixed()), run_of(), tmp_path / str(sampled), lambda clip_id, version: None)
        pages.append(page.read_text())
    assert pages[0] == pages[1]
    assert "drawn by a hash" not in pages[0]
    assert figure(pages[0], "yield-raw") == "16.0 s"


def test_every_end_is_counted_with_its_seconds(tmp_path):
    figures = counts.count(ledger(tmp_path, mixed()), ["guarded", "low-1"])
    assert figures.ends == {
        ("kept", "enhanced"): Count(12, 18.0),
        ("kept", "raw, damage"): Count(1, 4.0),
        ("rejected", "dnsmos_ovrl"): Count(3, 4.5),
        ("rejected", "duplicate"): Count(1, 1.5),
        ("rejected", HOSTILE): Count(1, 1.5),
        ("failed", "decode"): Count(2, 0.0),
    }
    assert figures.of(Verdict.REJECTED) == Count(5, 7.5) and figures.raw == {"damage": 1}
    assert (figures.ovrl_before, figures.ovrl_after) == (pytest.approx(33.8 / 13), pytest.approx(37.7 / 13))
    assert [row["clip_id"] for row in figures.failed] == ["f-1", "f-2"]
    assert figures.rows.keys() == {"guarded", "low-1"} and figures.rows["low-1"]["after_dnsmos_ovrl"] == 2.1


def test_a_ledger_without_scores_has_no_means(tmp_path):
    figures = counts.count(ledger(tmp_path, [clip("a", chosen="raw")]), [])
    assert (figures.ovrl_before, figures.ovrl_after) == (None, None)
    assert not any(score.measured for score in figures.sample.scores.values())


def test_a_sample_is_the_clips_whose_names_have_the_smallest_hashes(tmp_path, monkeypatch):
    """Their seconds are scaled to those of all clips."""
    monkeypatch.setattr(counts, "SAMPLED", 3)
    rows = [clip(f"c{i}", before=float(i), after=float(i), chosen="enhanced", duration_s=2.0) for i in range(10)]
    sample = counts.count(ledger(tmp_path, rows), []).sample
    drawn = sorted(sorted(range(10), key=lambda i: hashlib.sha256(f"c{i}".encode()).digest())[:3])
    assert sample.scores["dnsmos_ovrl"].before.tolist() == drawn
    assert sample.duration_s.tolist() == pytest.approx([20 / 3] * 3)
