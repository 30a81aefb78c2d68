"""The command as a user runs it: exit codes, messages, files. A process of its own each time."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

from clean_corpus.pipeline.demo import corpus
from tests.support.paths import COMMAND


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "{tmp}/absent", "{tmp}/out"], 2, "INPUT {tmp}/absent: no such file or folder"),
        (["run", "{in}", "{in}"], 2, "choose another OUTPUT"),
        (["run", "{in}", "{tmp}/file"], 2, "cannot be written"),
        (["run", "{in}", "{tmp}/out", "--set", "gate.dnsmos_ovrl_mn=2"], 2, "did you mean 'dnsmos_ovrl_min'?"),
        (["run", "{in}", "{tmp}/out", "--config", "{tmp}/no.yaml"], 2, "no such file"),
        (["run", "{in}", "{tmp}/out", "--enhancer", "default-casual"], 2, "did you mean 'default-causal'?"),
        (["enhance", "{tmp}/absent", "{tmp}/out"], 2, "{tmp}/absent"),
        (["enhance", "{in}", "{tmp}/out", "--enhancer", "nothing"], 2, "has no weights"),
        (["score", "{in}", "--clean", "{tmp}/absent"], 2, "no such folder"),
        (["train-enhancer", "cgcnr", "--speech", "{in}", "--noise", "{in}", "--out", "{tmp}"], 2, "mean 'cgcrn'"),
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_one_clear_line(command, demo_corpus, tmp_path, arguments, code, words):
    (tmp_path / "file").write_text("")

    def place(text: str) -> str:
        return text.replace("{tmp}", str(tmp_path)).replace("{in}", str(demo_corpus))

    returned, text = command(*map(place, arguments))
    assert returned == code and place(words) in text.replace("\n", "") and "Traceback" not in text, text


def test_nothing_to_read_is_exit_code_1(command, tmp_path):
    (tmp_path / "in").mkdir()
    code, text = command("run", tmp_path / "in", tmp_path / "out")
    assert code == 1 and "nothing could be read" in text


def test_enhance_keeps_tree_and_names_and_writes_16_khz_wav(command, demo_corpus, tmp_path):
    shutil.copy(next(demo_corpus.rglob("*.flac")), demo_corpus / "deep.flac")
    try:
        code, text = command("enhance", demo_corpus, tmp_path / "out")
    finally:
        (demo_corpus / "deep.flac").unlink()
    assert code == 0, text
    made = {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert Path("deep.wav") in made
    sound = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"}
    stems = {p.relative_to(demo_corpus).with_suffix("") for p in demo_corpus.rglob("*") if p.suffix in sound}
    assert {p.with_suffix("") for p in made} <= stems | {Path("deep")} and len(made) >= len(stems) - 2
    assert {soundfile.info(tmp_path / "out" / p).samplerate for p in made} == {16000}
    assert "failed 2" in text  # the cut-off FLAC and the text


def test_score_prints_json_with_twins(command, tmp_path):
    corpus.write_corpus(tmp_path / "in", clips=20, clean_references=tmp_path / "twins")
    keep = sorted(p for p in (tmp_path / "in").rglob("*.wav") if "unsorted" not in str(p))[:3]
    for path in list((tmp_path / "in").rglob("*")):
        if path.is_file() and path not in keep:
            path.unlink()
    process = subprocess.run(
        [COMMAND, "score", tmp_path / "in", "--clean", tmp_path / "twins", "--json"], capture_output=True, text=True
    )
    result = json.loads(process.stdout)
    assert process.returncode == 0 and len(result["files"]) == 3
    for scores in result["files"].values():
        assert 1 < scores["dnsmos_ovrl"] < 3.94 and 1 < scores["pesq_wb"] < 4.65 and 0 < scores["stoi"] <= 1


def test_yield_prints_a_table_and_draws_it(command, demo_corpus, tmp_path):
    code, text = command("yield", demo_corpus, "--sample", "6", "--plot", tmp_path / "yield.png")
    assert code == 0 and "dnsmos_ovrl" in text and "hours kept" in text, text
    assert (tmp_path / "yield.png").read_bytes().startswith(b"\x89PNG")
