"""The command `run`: its settings reach the flow, its summary is printed, and a comparison may follow."""

from contextlib import nullcontext

import pytest

from clean_corpus.flows import checks, unchanged
from clean_corpus.flows import clean_corpus as flow
from clean_corpus.flows.cli import run
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines import local
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from tests.support.commands import invoke

SUMMARY = {
    "version": 3, "wall_s": 1.5, "textless": 0, "trained_on": 2, "enhancer": "mine",
    "counts": {"in": 4, "kept": 2, "rejected": 1, "failed": 1},
    "seconds": {"kept": 120.0, "rejected": 60.0, "failed": 0.0},
    "reasons": {"snr_db": {"clips": 1, "seconds": 60.0}},
    "stages": [{"name": "score before", "seconds": 3.25, "done": 2, "reused": 5}],
}  # fmt: skip


@pytest.fixture
def flown(monkeypatch, without_server) -> list[RunConfig]:
    """Configurations that the flow was called with; each run ends with the same summary."""
    seen: list[RunConfig] = []
    monkeypatch.setattr(run, "_prepare", lambda configuration: None)
    monkeypatch.setattr(checks, "check", lambda config: "")
    monkeypatch.setattr(checks, "prepared_store", lambda config: None)
    monkeypatch.setattr(unchanged, "rerun", lambda config: None)
    monkeypatch.setattr(flow, "clean_corpus", lambda config: seen.append(config) or SUMMARY | {"output": config.output})
    return seen


def test_a_server_that_does_not_answer_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(checks, "check", lambda config: "")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(ConfigError, match=r"PREFECT_API_URL 'http://127\.0\.0\.1:1/api': no Prefect server there"):
        invoke("run", tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def cells(text: str) -> list[list[str]]:
    return [line.replace("│", "").split() for line in text.splitlines()]


def test_a_run_prints_what_it_did_and_where_the_report_is(flown, tmp_path):
    result = invoke("run", tmp_path, tmp_path / "out", "--workers", 2, "--set", "gate.snr_db_min=5")
    (config,) = flown
    assert (config.input, config.output, config.variants) == (tmp_path, tmp_path / "out", False)
    assert (config.engine.workers, config.gate.snr_db_min) == (2, 5)
    assert result.stdout == f"report: {tmp_path}/out/report/index.html\n"
    assert result.stderr.startswith("starting\n")
    assert "2 of the recordings are among those that mine was trained on" in " ".join(result.stderr.split())
    assert "4 clips in 1.5 s: version 3" in " ".join(result.stderr.split())
    printed = cells(result.stderr)
    for row in (["kept", "2", "2.0"], ["rejected", "1", "1.0"], ["failed", "1", "0.0"], ["snr_db", "1", "1.0"]):
        assert row in printed
    assert ["score", "before", "3.2", "2", "5"] in printed


def test_a_run_for_a_trainer_has_its_settings_and_says_what_was_exported(flown, tmp_path, monkeypatch):
    counted = {"clips": 2, "hours": 0.5}
    exported = {"layout": "xtts", "to": str(tmp_path / "x"), "changed": True, "sample_rate": 22050, "clips": counted}
    exported |= {"sides": {"train": counted}, "left_out": {"without text": counted}, "remarks": ["dev is empty"]}
    monkeypatch.setitem(SUMMARY, "export", exported)
    result = invoke("run", tmp_path, tmp_path / "out", "--for", "xtts", "--set", "segment.max_s=15")
    (config,) = flown
    assert (config.export.layout, config.audio.sample_rate, config.segment.max_s) == ("xtts", 22050, 15.0)
    printed = " ".join(result.stderr.split())
    assert "segment.max_s is 15 s, xtts takes 11.6 s: longer clips stay" in printed
    assert "2 clips, 0.50 h, 22050 Hz: train 2 left out: 2 clips, 0.50 h, without text dev is empty" in printed
    assert result.stdout.splitlines()[1] == f"export for xtts: {tmp_path}/x"


def test_the_report_is_named_from_the_root(flown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert invoke("run", "in", "out").stdout == f"report: {tmp_path}/out/report/index.html\n"
    assert invoke("run", "in", "s3://b/out").stdout == "report: s3://b/out/report/index.html\n"


def test_a_run_that_reads_nothing_is_an_error(flown, tmp_path, monkeypatch):
    counts = {"in": 2, "kept": 0, "rejected": 0, "failed": 2}
    monkeypatch.setitem(SUMMARY, "counts", counts)
    with pytest.raises(CleanCorpusError, match=f"^nothing could be read in {tmp_path}: 2 files, 2 failed"):
        invoke("run", tmp_path, tmp_path / "out")


def test_a_run_that_rejects_everything_is_none(flown, tmp_path, monkeypatch):
    monkeypatch.setitem(SUMMARY, "counts", {"in": 2, "kept": 0, "rejected": 2, "failed": 0})
    assert invoke("run", tmp_path, tmp_path / "out").exit_code == 0


def test_a_comparison_trains_on_raw_enhanced_and_gated(flown, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(run, "compare", lambda sets, out, budget: seen.append((sets, out, budget)))
    out = tmp_path / "out"
    invoke("run", tmp_path, out, "--compare", 20)
    assert flown[0].variants
    sets = [f"raw={out}/variants/raw", f"enhanced={out}/variants/enhanced", f"gated={out}/shards"]
    assert seen == [(sets, f"{out}/comparison", 20)]


def test_a_run_that_changes_nothing_starts_no_server(flown, tmp_path, monkeypatch):
    monkeypatch.setattr(unchanged, "rerun", lambda config: SUMMARY | {"output": config.output})
    monkeypatch.setattr("clean_corpus.flows.local_server.server", None)
    assert "4 clips in 1.5 s: version 3" in " ".join(invoke("run", tmp_path, tmp_path / "out").stderr.split())
    assert not flown


def test_workers_of_this_machine_are_warmed_up_while_the_server_starts(monkeypatch, tmp_path):
    warmed = []
    monkeypatch.setattr(local, "warm_up", lambda: warmed.append(True))
    for kind in ("ray", "local"):
        run._prepare(RunConfig(input=tmp_path, output=tmp_path / "out", engine={"kind": kind}))
    assert warmed == [True]


def test_preparations_are_those_of_the_run(flown, tmp_path, monkeypatch):
    prepared = []
    monkeypatch.setattr(run, "_prepare", prepared.append)
    monkeypatch.setattr("clean_corpus.flows.local_server.server", lambda prepare: nullcontext(prepare()))
    invoke("run", tmp_path, tmp_path / "out")
    assert prepared == flown
