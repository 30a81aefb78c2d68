"""The report of an evaluation: tables of constructed means and tests, CSV files, plots."""

import csv
from pathlib import Path

import pytest

from clean_corpus.enhancers.evaluation import METRICS, NOISY, Comparison, Summary
from clean_corpus.enhancers.pairs import Condition, Pair
from clean_corpus.flows.commands import evaluation_report
from clean_corpus.flows.commands.evaluation_report import ALL

SYSTEMS = (NOISY, "a", "b")
AT_0, AT_10 = Condition("snr_db", "0"), Condition("snr_db", "10")
RAIN = Condition("noise", "rain")
MEANS = {
    (NOISY, ALL): (0.5, 0.4, 0.6), (NOISY, AT_0): (0.25, None, None), (NOISY, AT_10): (0.75, 0.7, 0.8),
    ("a", ALL): (0.7, 0.65, 0.75), ("a", AT_0): (0.5, 0.4, 0.6), ("a", AT_10): (0.75, 0.75, 0.75),
    ("b", ALL): (None, None, None), ("b", AT_0): (0.4, 0.4, 0.4), ("b", AT_10): (None, None, None),
}  # fmt: skip


def summaries(means=MEANS) -> list[Summary]:
    """Rows where STOI alone was measured; of four clips `b` lacks two."""
    return [
        Summary(metric, condition, system, 4, 2 * (system == "b"), *(interval if metric == "stoi" else [None] * 3))
        for metric in METRICS
        for (system, condition), interval in means.items()
    ]


def comparisons(conditions=(ALL, AT_0, AT_10), **known) -> list[Comparison]:
    """Rows of every test between the systems, without a result but for the known ones of STOI."""
    duels = [("wilcoxon", "a", NOISY), ("wilcoxon", "b", NOISY), ("wilcoxon", "b", "a")]
    duels += [("anova", "a", against) for against in (NOISY, "b", "all")]
    return [
        Comparison(metric, condition, *duel, 4, *(known.get("_".join(duel), {}).get(condition, [None] * 3)))
        if metric == "stoi"
        else Comparison(metric, condition, *duel, 0, None, None, None)
        for metric in METRICS
        for condition in conditions
        for duel in duels
    ]


def section(text: str, metric: str = "stoi") -> list[str]:
    """The lines of one measure's section that hold something."""
    after = text.split(f"## {metric}\n")[1]
    return [line for line in after.split("\n## ")[0].splitlines() if line]


def test_systems_stand_down_and_snrs_across_best_in_bold():
    text = evaluation_report.report(summaries(), comparisons(), 4)
    assert text.startswith("# 3 systems on 4 pairs\n")
    assert section(text)[:6] == [
        "short-time objective intelligibility, 0 to 1; higher is better.",
        "|  | 0 dB | 10 dB | mean | not scored |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| noisy | 0.250 | **0.750** ± 0.050 | 0.500 ± 0.100 | 0 |",
        "| a | **0.500** ± 0.100 | **0.750** ± 0.000 | **0.700** ± 0.050 | 0 |",
        "| b | 0.400 ± 0.000 |  |  | 2 |",
    ]
    assert section(text)[-1] == "![stoi by SNR](stoi.png)"


def test_a_measure_that_no_system_has_is_an_empty_table():
    lines = section(evaluation_report.report(summaries(), comparisons(), 4), "pesq_nb")
    assert lines[3:6] == ["| noisy |  |  |  | 0 |", "| a |  |  |  | 0 |", "| b |  |  |  | 2 |"]


def test_significance_is_marked_below_five_percent():
    tests = comparisons(
        wilcoxon_a_noisy={ALL: (0.0, 0.049, None), AT_0: (1.0, 0.05, None)},
        wilcoxon_b_noisy={AT_0: (0.0, 0.001, None)},
        wilcoxon_b_a={AT_0: (0.0, 0.01, None)},
    )
    noisy, a, b = section(evaluation_report.report(summaries(), tests, 4))[3:6]
    assert a == r"| a | **0.500** ± 0.100 | **0.750** ± 0.000 | **0.700** ± 0.050\* | 0 |"
    assert b == r"| b | 0.400 ± 0.000\*† |  |  | 2 |"
    assert r"\*" not in noisy and "†" not in noisy


def test_analyses_of_variance_have_f_its_critical_value_and_p():
    tests = comparisons(
        anova_a_noisy={ALL: (12.345, 0.0004, 4.196), AT_0: (6.0, 0.0512, 7.709)},
        anova_a_all={AT_10: (0.04, 0.999, 3.0)},
    )
    lines = section(evaluation_report.report(summaries(), tests, 4))
    assert lines[6:11] == [
        "| ANOVA | 0 dB | 10 dB | mean |",
        "| --- | ---: | ---: | ---: |",
        "| a → noisy | 6.0 (7.71), 0.051 |  | 12.3 (4.20), < 0.001 |",
        "| a → b |  |  |  |",
        "| all systems |  | 0.0 (3.00), 0.999 |  |",
    ]


def test_noise_classes_have_a_table_where_they_are_known():
    more = {(system, RAIN): (0.5, 0.5, 0.5) for system in SYSTEMS}
    text = evaluation_report.report(summaries(MEANS | more), comparisons((ALL, AT_0, AT_10, RAIN)), 4)
    lines = section(text)
    at = lines.index("|  | rain | mean | not scored |")
    assert lines[at + 2] == "| noisy | **0.500** ± 0.000 | 0.500 ± 0.100 | 0 |"
    assert not any("rain" in line for line in section(evaluation_report.report(summaries(), comparisons(), 4)))


def test_csv_files_hold_six_digits_and_nothing_for_what_was_not_measured(tmp_path, monkeypatch):
    """Means 2 and 4 in groups of 3, squares within 2 + 2: F = (3 * 2 * 1) / (4 / 4) = 6."""
    monkeypatch.setattr(evaluation_report, "plot", lambda *_: None)
    pairs = [Pair(name, Path(), Path(), None, None) for name in "xyz"]
    nothing = dict.fromkeys(METRICS)
    scores = {
        NOISY: [nothing | {"stoi": 1.0}, nothing | {"stoi": 2.0}, nothing | {"stoi": 3.0}],
        "a": [nothing | {"stoi": 3.0}, nothing | {"stoi": 4.00000049}, nothing | {"stoi": 5.0}],
    }
    path = evaluation_report.write_evaluation(scores, pairs, tmp_path / "deep" / "out")
    assert path == tmp_path / "deep" / "out" / "report.md" and path.read_text().startswith("# 2 systems on 3 pairs")

    def rows(name: str) -> list[dict[str, str]]:
        with (path.parent / name).open() as file:
            return list(csv.DictReader(file))

    clips = rows("scores.csv")
    assert list(clips[0]) == ["system", "clip", "noise", "snr_db", *METRICS]
    assert [(row["system"], row["clip"], row["noise"], row["stoi"], row["csig"]) for row in clips] == [
        (NOISY, "x", "", "1", ""), (NOISY, "y", "", "2", ""), (NOISY, "z", "", "3", ""),
        ("a", "x", "", "3", ""), ("a", "y", "", "4", ""), ("a", "z", "", "5", ""),
    ]  # fmt: skip
    (mean,) = (row for row in rows("summary.csv") if (row["metric"], row["system"]) == ("stoi", "a"))
    assert (mean["by"], mean["value"], mean["clips"], mean["not_scored"], mean["mean"]) == ("all", "", "3", "0", "4")
    keys = ("metric", "test", "system", "against")
    tests = {tuple(row[key] for key in keys): row for row in rows("tests.csv")}
    anova = tests["stoi", "anova", "a", NOISY]
    assert anova["clips"] == "6" and float(anova["statistic"]) == pytest.approx(6, abs=1e-5)
    assert float(anova["critical"]) == pytest.approx(7.7086, abs=1e-4)  # F(1, 4) at 5 %, any table
    assert (tests["csig", "anova", "a", NOISY]["statistic"], tests["csig", "anova", "a", NOISY]["p"]) == ("", "")


PLOTTED = [
    Summary("stoi", Condition("snr_db", snr_db), system, 3, 0, 0.5, *interval)
    for system in (NOISY, "a")
    for snr_db, interval in (("0", (0.4, 0.6)), ("5", (None, None)))
]


def test_a_plot_has_the_same_bytes_each_time(tmp_path):
    first = evaluation_report.plot("stoi", PLOTTED, tmp_path / "x.png").read_bytes()
    assert evaluation_report.plot("stoi", PLOTTED, tmp_path / "x.png").read_bytes() == first


def test_a_plot_names_systems_and_snrs_or_all_clips(tmp_path):
    text = evaluation_report.plot("stoi", PLOTTED, tmp_path / "x.svg").read_text()
    assert all(f">{word}<" in text for word in ("stoi", NOISY, "a", "0 dB", "5 dB", "SNR of the noisy speech"))
    whole = [Summary("stoi", ALL, system, 3, 0, 0.5, 0.4, 0.6) for system in (NOISY, "a")]
    text = evaluation_report.plot("stoi", whole, tmp_path / "y.svg").read_text()
    assert ">all clips<" in text and " dB<" not in text and "SNR" not in text
