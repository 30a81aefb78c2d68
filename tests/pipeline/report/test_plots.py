"""Pictures of scores, and the numbers in them."""

import numpy as np
import pytest

from clean_corpus.pipeline.report.plots import gate_thresholds, hours_kept, plot_yield, yield_table


def test_hours_kept_by_direction_and_without_value():
    values, durations_s = [0.0, 0.01, float("nan"), 0.5], [3600.0] * 4
    assert hours_kept("snr_db", values, durations_s, [-1.0, 0.01, 1.0]).tolist() == [3.0, 2.0, 0.0]
    assert hours_kept("clipping_ratio", values, durations_s, [-1.0, 0.01, 1.0]).tolist() == [0.0, 2.0, 3.0]


def test_yield_table_has_the_gates_thresholds_and_skips_what_was_not_measured():
    scores = {"snr_db": np.arange(100.0), "stoi": np.full(100, np.nan)}
    rows = yield_table(scores, np.full(100, 36.0), gate_thresholds({"snr_db_min": 37.0, "stoi_min": 0.5}))
    assert {row.score for row in rows} == {"snr_db"}
    assert [(row.hours, row.share) for row in rows if row.threshold == 37.0] == [(pytest.approx(0.63),) * 2]
    assert [row.threshold for row in rows] == sorted(row.threshold for row in rows)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_yield_is_reproducible(tmp_path, suffix):
    scores = {name: np.linspace(0, 1, 50) for name in ("snr_db", "clipping_ratio", "dnsmos_ovrl", "utmos")}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert plot_yield(scores, [60.0] * 50, {"snr_db": 0.5}, tmp_path / folder / f"yield.{suffix}").exists()
    assert (tmp_path / "a" / f"yield.{suffix}").read_bytes() == (tmp_path / "b" / f"yield.{suffix}").read_bytes()


def test_plot_yield_without_values_says_so(tmp_path):
    with pytest.raises(ValueError, match="snr_db"):
        plot_yield({"snr_db": [float("nan")]}, [1.0], {}, tmp_path / "yield.png")
