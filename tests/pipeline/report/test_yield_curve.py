"""Time kept against the threshold of the ranking score."""

from clean_corpus.pipeline.report import counts
from clean_corpus.pipeline.report.counts import count
from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.report.yield_curve import yield_curve
from tests.support.ledgers import audio, clip, figure, ledger, mixed, run_of


def test_a_sample_of_equal_clips_has_the_yield_of_the_whole_ledger(tmp_path, monkeypatch):
    """Clips that are all alike leave nothing to chance but their number."""
    monkeypatch.setattr(counts, "SAMPLED", 50)
    rows = [clip(f"c{i}", before=2.0, after=3.0, chosen="enhanced", duration_s=36.0) for i in range(1000)]
    page = write_report(ledger(tmp_path, rows, rows_per_group=100), run_of(), tmp_path / "report", audio).read_text()
    assert (figure(page, "yield-raw"), figure(page, "yield-enhanced")) == ("0.0 s", "10.00 h")


def test_the_yield_with_and_without_enhancement(tmp_path):
    """Eight raw clips from 2.4 up and the guarded one; with enhancement all that were kept, and none when out of reach.

    At a threshold above every score nothing is kept; without one, whatever passes the other checks.
    """
    sample = count(ledger(tmp_path, mixed()), []).sample
    gate = run_of()["config"]["gate"]
    assert yield_curve(sample, gate)["seconds"] == {"raw": 16.0, "enhanced": 22.0}
    assert yield_curve(sample, gate | {"dnsmos_ovrl_min": 3.9})["seconds"] == {"raw": 0.0, "enhanced": 0.0}
    open_gate = yield_curve(sample, gate | {"dnsmos_ovrl_min": None})
    assert open_gate["threshold"] is None and open_gate["seconds"] == {"raw": 26.5, "enhanced": 26.5}


def test_without_the_ranking_score_there_is_no_curve(tmp_path):
    sample = count(ledger(tmp_path, [clip("a", chosen="raw")]), []).sample
    assert yield_curve(sample, run_of()["config"]["gate"]) is None
