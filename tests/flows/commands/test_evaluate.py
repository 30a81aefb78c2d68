"""The comparison of systems over a folder of pairs: tables, tests, plots, clips that fail."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from clean_corpus.enhancers.evaluation import METRICS, NOISY
from clean_corpus.flows.commands import evaluate as command
from clean_corpus.flows.commands import evaluation_report
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.pairs import RATE, write_pairs


@pytest.fixture
def no_plots(monkeypatch):
    monkeypatch.setattr(evaluation_report, "plot", lambda *_: None)


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(
        command,
        "call_in_workers",
        lambda stage, items, unit, workers, console, function, *args: ((i, function(i, *args)) for i in items),
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_systems_over_a_folder(tmp_path, in_this_process):
    names = {"a__rain__00dB": 0.0, "b__wind__00dB": 0.0, "c__rain__10dB": 10.0, "d__wind__10dB": 10.0}
    root = write_pairs(tmp_path / "pairs", names)
    out = tmp_path / "out"
    (tmp_path / "speakers.txt").write_text("a\nd\n")
    path, failed = command.evaluate(
        ["default-causal"], root, out, 1, Console(quiet=True), True, trained_speakers=tmp_path / "speakers.txt"
    )
    assert failed == {}
    rows = read(out / "scores.csv")
    assert [(row["system"], row["clip"]) for row in rows] == [(s, n) for s in (NOISY, "default-causal") for n in names]
    assert list(rows[0]) == ["system", "clip", "noise", "snr_db", "speakers", *METRICS]
    assert [row["speakers"] for row in rows[:4]] == ["trained", "untrained", "untrained", "trained"]
    gains = [
        float(after["pesq_nb"]) - float(before["pesq_nb"]) for before, after in zip(rows[:4], rows[4:], strict=True)
    ]
    assert [float(row["pesqi"]) for row in rows] == pytest.approx([0] * 4 + gains, abs=2e-5)  # of printed digits
    assert [float(row["global_snr_db"]) for row in rows[:4]] == pytest.approx([0, 0, 10, 10], abs=0.01)  # 16 bits
    means = {
        (row["by"], row["value"], row["system"]): row for row in read(out / "summary.csv") if row["metric"] == "csig"
    }
    csig = [float(row["csig"]) for row in rows]
    assert float(means["snr_db", "10", NOISY]["mean"]) == pytest.approx(np.mean(csig[2:4]), rel=1e-5)
    assert float(means["noise", "wind", "default-causal"]["mean"]) == pytest.approx(np.mean(csig[5::2]), rel=1e-5)
    assert {row["test"] for row in read(out / "tests.csv")} == {"wilcoxon", "anova"}
    text = path.read_text()
    assert all(f"## {metric}\n" in text and (out / f"{metric}.png").stat().st_size > 0 for metric in METRICS)
    assert "|  | 0 dB | 10 dB | mean | not scored |" in text
    assert "|  | rain | wind | mean | not scored |" in text
    heads = [f"{heard} speakers, {title}" for heard in ("trained", "untrained") for title in ("rain", "wind", "mean")]
    assert f"|  | {' | '.join(heads)} | not scored |" in text
    assert float(means["speakers/noise", "trained/wind", "default-causal"]["mean"]) == pytest.approx(csig[7], rel=1e-5)
    assert "default-causal → noisy" in text


def test_a_clip_that_fails_keeps_its_row_and_is_counted(tmp_path, in_this_process, no_plots, monkeypatch):
    root = write_pairs(tmp_path / "pairs", {"p1": 5.0, "p2": 5.0})
    calls = []

    class Broken:
        sample_rate = RATE

        def __call__(self, noisy, lengths):
            calls.append(lengths)
            return noisy * math.nan if len(calls) == 1 else noisy

    monkeypatch.setattr(command, "_network", lambda name: Broken())
    path, failed = command.evaluate(["default-causal"], root, tmp_path / "out", 1, Console(quiet=True))
    assert failed == {"default-causal: p1": "enhancer returned samples that are NaN or infinite"}
    rows = read(tmp_path / "out" / "scores.csv")
    assert [row["stoi"] != "" for row in rows] == [True, True, False, True]
    assert {(row["system"], row["not_scored"]) for row in read(tmp_path / "out" / "summary.csv")} == {
        (NOISY, "0"),
        ("default-causal", "1"),
    }
    assert "|  | mean | not scored |" in path.read_text()  # names tell neither SNR nor class


def test_unknown_and_repeated_systems_are_refused(tmp_path):
    for names, message in ((["cgcnr"], "cgcnr"), (["default-causal"] * 2, "taken already")):
        with pytest.raises(ConfigError, match=message):
            command.evaluate(names, tmp_path, tmp_path, 1, Console(quiet=True))


def test_a_worker_process_scores_a_pair(tmp_path, no_plots):
    root = write_pairs(tmp_path / "pairs", {"p1": 5.0})
    _, failed = command.evaluate([], root, tmp_path / "out", 1, Console(quiet=True))
    assert failed == {}
    (row,) = read(tmp_path / "out" / "scores.csv")
    assert float(row["global_snr_db"]) == pytest.approx(5.0, abs=0.01)
