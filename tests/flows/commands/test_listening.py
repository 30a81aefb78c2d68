"""`clean-corpus listening-results`: tables, plot and JSON of constructed answers."""

import json

import numpy as np
import pytest
from rich.console import Console

from clean_corpus.flows.commands.listening import listening_results, merge
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.comparison import report
from clean_corpus.vocoder.comparison.result import write_result
from tests.support import compared
from tests.support.listening import UTTERANCES, by_system, export, key_of, write_export


@pytest.mark.parametrize("mode", ["acr", "ab", "mushra"])
def test_results_are_written_and_odd_names_stay_text(tmp_path, mode):
    odd = "a|b*<b>$x$"
    key = key_of(mode, systems=[odd, "middle"], reference="middle")
    (tmp_path / "key.json").write_text(json.dumps(key))
    best = {"acr": (5, 3), "ab": (1.0, 0.0), "mushra": (70, 100)}[mode]

    def rate(s, u):
        better, worse = best if u != "u0" or mode != "ab" else best[::-1]
        return better if s == odd else worse

    files = [write_export(tmp_path / f"{n}.csv", export(key, n, rate)) for n in ("a", "b")]
    files.append(write_export(tmp_path / "c.csv", export(key, "c|d", rate, wrong_tones=3)))
    console = Console(record=True, width=200)
    path = listening_results(files, tmp_path / "key.json", tmp_path / "out", console)
    assert "not counted: c|d: headphone check: 3 of 6 right, 5 needed" in console.export_text()
    text = path.read_text()
    assert path == tmp_path / "out/results.md"
    assert r"a\|b\*\<b\>$x$" in text and r"c\|d" in text and "middle (reference)" in text
    expected = {
        "acr": "| 12 | 5.00 | 5.00 to 5.00 |",
        "ab": "| 10 | 0 | 2 | 83.3 % |",
        "mushra": "| 12 | 70.0 | 70.0 to",
    }
    assert expected[mode] in text
    data = json.loads((tmp_path / "out/results.json").read_text())
    assert (data["study"], data["listeners"], [*data["excluded"]]) == ("s1", ["a", "b"], ["c|d"])
    assert (tmp_path / "out/results.png").read_bytes()[:4] == b"\x89PNG"
    again = listening_results(files, tmp_path / "key.json", tmp_path / "again", Console(quiet=True)).parent
    assert (again / "results.png").read_bytes() == (tmp_path / "out/results.png").read_bytes()


def results_of(folder, systems, out):
    """Results of a test of these systems, as the command leaves them."""
    key = key_of("acr", systems=systems)
    (folder / "key.json").write_text(json.dumps(key))
    file = write_export(folder / "a.csv", export(key, "a", by_system(**dict(zip(systems, (5, 3, 1), strict=True)))))
    return listening_results([file], folder / "key.json", out, Console(quiet=True)).parent


def test_results_go_into_the_comparison_that_was_heard_and_into_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "render", lambda out: out / "report" / "index.html")
    for name, keys in (("heard", UTTERANCES), ("other", ["x1", "x2", "x3", "x4", "x5", "x6"])):
        monkeypatch.setattr(compared, "KEYS", keys)
        (tmp_path / name).mkdir()
        rows = [row for system in ("raw", "clean") for row in compared.spoken(system, np.full((1, 6), 3.0))]
        write_result(rows, keys, {}, compared.facts("raw", "clean"), {}, tmp_path / name)
    results = results_of(tmp_path, ("raw", "clean", "natural"), tmp_path / "heard" / "listening")
    assert merge(results, tmp_path / "heard").name == "index.html", "they lie where they are to go"
    with pytest.raises(ConfigError, match=r"no utterance of listening test s1 is in it: u0, .* x1, x2, x3, \.\.\."):
        merge(results, tmp_path / "other")
    results = results_of(tmp_path, ("good", "middle", "bad"), tmp_path / "out")
    with pytest.raises(ConfigError, match="no system of listening test s1 is in it: good, middle, bad were heard"):
        merge(results, tmp_path / "heard")
    assert "raw" in (tmp_path / "heard/listening/results.json").read_text()
