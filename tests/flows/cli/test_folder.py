"""The commands over a folder: as a user runs them, and what each prints of results known beforehand."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers import checkpoints
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.report.plots import YieldRow
from tests.support.commands import invoke
from tests.support.paths import COMMAND
from tests.support.signals import speech


@pytest.fixture
def four(demo_corpus, tmp_path) -> Path:
    """Four files of the demo corpus in folders of their own: FLAC, Opus, what broke off, what is no audio."""
    folder = tmp_path / "four"
    for pattern in ("bernhard-001.flac", "francesca-005.opus", "interrupted-upload.flac", "shopping-list.wav"):
        (path,) = demo_corpus.rglob(pattern)
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


def test_enhance_keeps_tree_names_and_rates_and_writes_wav(command, four, tmp_path):
    shutil.copy(four / "bernhard" / "bernhard-001.flac", four / "deep.flac")
    code, text = command("enhance", four, tmp_path / "out", "--workers", 1)
    assert code == 0, text
    made = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert made == {"deep.wav", "bernhard/bernhard-001.wav", "francesca/francesca-005.wav"}
    rates = {p: soundfile.info(tmp_path / "out" / p).samplerate for p in made}
    assert rates == {"deep.wav": 16000, "bernhard/bernhard-001.wav": 16000, "francesca/francesca-005.wav": 48000}
    assert "failed 2" in text  # the cut-off FLAC and the text


def test_score_prints_json_with_clean_references(command, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(2):
        clean = speech(3.0, seed=i)
        for kind, x in (("clean", clean), ("in", clean + 0.02 * coloured_noise(rng, len(clean), slope=1))):
            (tmp_path / kind / "a").mkdir(parents=True, exist_ok=True)
            encode.write_wav(tmp_path / kind / "a" / f"{i}.wav", x.astype(np.float32), 16000)
    process = subprocess.run(
        [COMMAND, "score", tmp_path / "in", "--clean", tmp_path / "clean", "--json", "--workers", "1"],
        capture_output=True,
        text=True,
    )
    result = json.loads(process.stdout)
    assert process.returncode == 0 and len(result["files"]) == 2
    for scores in result["files"].values():
        assert 1 < scores["dnsmos_ovrl"] < 3.94 and 1 < scores["pesq_wb"] < 4.65 and 0 < scores["stoi"] <= 1


def test_yield_prints_a_table_and_draws_it(command, demo_corpus, tmp_path):
    code, text = command("yield", demo_corpus, "--sample", "3", "--workers", 1, "--plot", tmp_path / "yield.png")
    assert code == 0 and "dnsmos_ovrl" in text and "hours kept" in text, text
    assert (tmp_path / "yield.png").read_bytes().startswith(b"\x89PNG")


# ---- in this process


def test_enhance_gets_the_default_weights_or_those_asked_for(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "clean_corpus.flows.commands.enhance_folder.enhance_folder",
        lambda source, output, name, workers, console, **more: (
            seen.append((source, output, name, workers, more)) or (2, {})
        ),
    )
    result = invoke("enhance", tmp_path, tmp_path / "out", "--workers", 3)
    own = {"upper_band": "full-band", "sample_rate": None, "keep_channels": False}
    assert seen == [(tmp_path, tmp_path / "out", checkpoints.DEFAULT, 3, own)]
    assert (result.stdout, result.stderr) == ("", "enhanced 2, failed 0\n")
    options = ("--enhancer", "default-causal", "--workers", 1, "--sample-rate", 44100, "--keep-channels")
    invoke("enhance", tmp_path, tmp_path / "out", *options)
    causal = {"upper_band": "full-band-causal", "sample_rate": 44100, "keep_channels": True}
    assert seen[1][2:] == ("default-causal", 1, causal)
    invoke("enhance", tmp_path, tmp_path / "out", "--upper-band", "extrapolated")
    assert seen[2][4]["upper_band"] is None


SCORES = {"a.wav": {"snr_db": 10.0, "stoi": None}, "b.wav": {"snr_db": 20.0, "stoi": 0.123456}}


@pytest.fixture
def scored(monkeypatch) -> list[tuple]:
    """What was scored, each time with the same result."""
    seen: list[tuple] = []
    monkeypatch.setattr(
        "clean_corpus.flows.commands.score_folder.score_folder",
        lambda source, clean, workers, console, *_: (
            seen.append((source, clean, workers)) or (SCORES, {"c": "no audio"})
        ),
    )
    return seen


def test_score_prints_the_mean_of_each_score(scored, tmp_path):
    result = invoke("score", tmp_path, "--workers", 2)
    assert scored == [(tmp_path, None, 2)]
    cells = [line.replace("│", "").split() for line in result.stdout.splitlines()]
    assert ["snr_db", "15", "2"] in cells and ["stoi", "0.1235", "1"] in cells
    assert result.stderr.splitlines() == ["failed: c: no audio", "scored 2, failed 1"]


def test_score_as_json_is_one_object_and_nothing_else(scored, tmp_path):
    result = invoke("score", tmp_path, "--json", "--clean", tmp_path / "clean", "--workers", 1)
    assert json.loads(result.stdout) == {
        "files": SCORES, "mean": {"snr_db": [15.0, 2], "stoi": [0.123456, 1]}, "failed": {"c": "no audio"},
    }  # fmt: skip
    assert scored == [(tmp_path, tmp_path / "clean", 1)]


def test_a_folder_of_which_nothing_is_scored_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("clean_corpus.flows.commands.score_folder.score_folder", lambda *_: ({}, {"a": "no audio"}))
    with pytest.raises(CleanCorpusError, match=f"nothing could be read in {tmp_path}"):
        invoke("score", tmp_path)


def test_yield_prints_hours_and_shares(monkeypatch, tmp_path):
    seen = []

    def curve(sample, plot, config, console):
        from clean_corpus.flows.commands.yield_curve import YieldCurve

        seen.append((sample, plot, config.input, config.gate.snr_db_min, config.engine.workers))
        return YieldCurve("2 of 9", [YieldRow("snr_db", 12.5, 1.2345, 0.25)])

    monkeypatch.setattr("clean_corpus.flows.commands.yield_curve.yield_curve", curve)
    plot = tmp_path / "y.svg"
    result = invoke("yield", tmp_path, "--sample", 2, "--plot", plot, "--set", "gate.snr_db_min=7", "--workers", 1)
    assert seen == [(2, plot, tmp_path, 7, 1)]
    assert ["snr_db", "12.5", "1.23", "25%"] in [line.replace("│", "").split() for line in result.stdout.splitlines()]
    assert "2 of 9" in result.stdout and result.stdout.splitlines()[-1] == f"plot: {plot}"


def test_demo_writes_as_many_clips_as_asked_for_with_the_seed(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "clean_corpus.pipeline.demo.corpus.write_corpus",
        lambda folder, *, clips, seed: seen.append((folder, clips, seed)),
    )
    assert "demo corpus: " in invoke("demo", tmp_path / "a").stderr
    invoke("demo", tmp_path / "b", "--clips", 3, "--seed", 7)
    assert seen == [(tmp_path / "a", 41, 0), (tmp_path / "b", 3, 7)]
