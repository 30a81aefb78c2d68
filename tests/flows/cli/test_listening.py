"""The commands of a listening test: a key that listeners never get, and results that go where they are asked for."""

import json
from pathlib import Path

import pytest

from clean_corpus.flows.cli.listening import _refuse_exposed_key
from clean_corpus.flows.commands import listening
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import parse_location
from tests.support.commands import invoke
from tests.support.listening import by_system, export, key_of, tone_systems, write_export


@pytest.mark.parametrize(
    ("out", "key", "words"),
    [
        ("s3://b/page", None, "--out s3://b/page: with a page in a bucket, --key FILE says where its key goes"),
        ("s3://b/page", "s3://b/page/k.json", "--key s3://b/page/k.json lies in --out s3://b/page"),
        ("s3://b/page", "s3://b/page", "which listeners get; choose a place outside it"),
        ("s3://b", "s3://b/k.json", "--key s3://b/k.json lies in --out s3://b,"),
    ],
)
def test_a_key_that_listeners_would_get_is_refused(out, key, words):
    with pytest.raises(ConfigError) as refused:
        _refuse_exposed_key(parse_location(out), parse_location(key) if key else None)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("out", "key"),
    [
        ("page", None),
        ("page", "s3://b/k.json"),
        ("s3://b/page", "k.json"),
        ("s3://b/page", "s3://b/page.json"),
        ("s3://b/page", "s3://other/page/k.json"),
    ],
)
def test_a_key_elsewhere_is_let_pass(out, key):
    _refuse_exposed_key(parse_location(out), parse_location(key) if key else None)


def test_a_test_is_written_with_its_key_beside_it(tmp_path):
    root = tone_systems(tmp_path / "systems", utterances=1)
    result = invoke("listening-test", root, "--out", tmp_path / "page", "--traps", 0, "--no-headphones", "--title", "T")
    assert result.stdout == f"page: {tmp_path}/page/index.html\n"
    assert "<title>T<" in (tmp_path / "page/index.html").read_text()
    assert f"key, not for listeners: {tmp_path}/page.key.json" in result.stderr
    key = json.loads((tmp_path / "page.key.json").read_text())
    assert (sorted(key["systems"]), key["mode"], key["traps"], key["headphones"]) == (
        sorted(p.name for p in root.iterdir()),
        "acr",
        {},
        {},
    )
    assert "3 systems, 1 utterances, 3 trials" in result.stderr


def test_what_is_given_reaches_the_test(monkeypatch, tmp_path):
    seen = []

    def write(source, out, console, **more):
        seen.append((source, out, more))
        raise ConfigError("seen")

    monkeypatch.setattr(listening, "listening_test", write)
    about = ["--mode", "mushra", "--seed", 4, "--per-system", 2, "--reference", "raw", "--key", tmp_path / "k.json"]
    with pytest.raises(ConfigError, match="seen"):
        invoke("listening-test", "in", "--out", tmp_path / "page", *about)
    ((source, out, more),) = seen
    assert (source, out) == (Path("in"), tmp_path / "page")
    assert more == {
        "mode": "mushra", "seed": 4, "per_system": 2, "reference": "raw", "key": tmp_path / "k.json", "traps": 2,
        "headphones": True, "title": "Listening test",
    }  # fmt: skip


@pytest.fixture
def heard(tmp_path) -> list:
    """Arguments for the results of two listeners."""
    key = key_of("acr")
    (tmp_path / "k.json").write_text(json.dumps(key))
    rate = by_system(good=5, middle=3, bad=1)
    saved = [write_export(tmp_path / f"{name}.csv", export(key, name, rate)) for name in ("ann", "bob")]
    return [*saved, "--key", tmp_path / "k.json", "--out", tmp_path / "results"]


def test_results_are_written_where_they_are_asked_for(heard, tmp_path):
    result = invoke("listening-results", *heard)
    assert result.stdout == f"results: {tmp_path}/results/results.md\n"
    assert result.stderr == "listeners 2, not counted 0\n"
    scores = json.loads((tmp_path / "results/results.json").read_text())["scores"]
    assert {row["system"]: row["mean"] for row in scores} == {"good": 5, "middle": 3, "bad": 1}


def test_results_go_into_the_report_of_a_comparison(heard, monkeypatch, tmp_path):
    monkeypatch.setattr(listening, "merge", lambda results, comparison: comparison / "report" / results.name)
    result = invoke("listening-results", *heard, "--comparison", tmp_path / "compared")
    assert result.stdout.splitlines()[-1] == f"report: {tmp_path}/compared/report/results"


def test_a_folder_without_a_comparison_is_refused(heard, tmp_path):
    with pytest.raises(ConfigError, match=f"--comparison {tmp_path}: no result.json there"):
        invoke("listening-results", *heard, "--comparison", tmp_path)
