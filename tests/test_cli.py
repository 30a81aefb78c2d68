"""The command as a user runs it: exit codes, messages, Ctrl-C, kill -9, a full disk. A process of its own each time."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import COMMAND

from pipeline import demo


@pytest.fixture
def command(start):
    def run(*arguments: object) -> tuple[int, str]:
        process = start(*arguments)
        output, _ = process.communicate(timeout=250)
        return process.returncode, output

    return run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    demo.write_corpus(folder, clips=24)
    return folder


def content(output: Path) -> dict[str, str]:
    files = [output / "ledger.parquet", *output.glob("shards/*"), *output.glob("rejected/*")]
    return {str(f.relative_to(output)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def left_behind(home: Path) -> list[str]:
    """Command lines of processes that carry this test session's home in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:100])
        except OSError:  # ended meanwhile
            continue
    return [line for line in found if line]


def gone(home: Path, within_s: float) -> list[str]:
    deadline = time.monotonic() + within_s
    while (left := left_behind(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


SETTINGS = ["--set", "shards.max_clips=6"]


@pytest.fixture(scope="module")
def uninterrupted(corpus, home, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    environment = os.environ | {"HOME": str(home)}
    result = subprocess.run(
        [COMMAND, "run", corpus, output, *SETTINGS], capture_output=True, text=True, env=environment, timeout=280
    )
    assert result.returncode == 0, result.stderr
    return output, result


def test_a_run_says_what_it_did_and_where_the_report_is(uninterrupted):
    output, result = uninterrupted
    assert result.stdout.strip() == f"report: {output / 'report' / 'index.html'}"
    assert (output / "report" / "index.html").exists()
    for word in ("kept", "rejected", "failed", "score before", "enhance"):
        assert word in result.stderr
    assert "Traceback" not in result.stderr and "WARN" not in result.stderr
    summary = json.loads((output / "run.json").read_text())
    assert summary["counts"]["in"] == pq.read_metadata(output / "ledger.parquet").num_rows


def test_kill_9_at_any_moment_then_the_same_result(corpus, uninterrupted, start, home, tmp_path):
    """Killed once at a random moment of the start and three times of the work itself, then left alone."""
    draw = random.Random(5)
    output = tmp_path / "out"
    for moment in ("start", "work", "work", "work"):
        process = start("run", corpus, output, *SETTINGS)
        while moment == "work" and sum("multiprocessing.forkserver" in line for line in left_behind(home)) < 2:
            assert process.poll() is None, "ended before its workers began"
            time.sleep(0.05)
        time.sleep(draw.uniform(1.0, 8.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert gone(home, 10) == [], "processes outlived their parent"
    done_before = set(output.rglob("work/*/*.json"))
    process = start("run", corpus, output, *SETTINGS)
    text, _ = process.communicate(timeout=250)
    assert process.returncode == 0, text
    assert content(output) == content(uninterrupted[0])
    assert not list((output / "work" / "tmp").iterdir())
    stages = {s["name"]: s for s in json.loads((output / "run.json").read_text())["stages"]}
    reused = sum(s["reused"] for s in stages.values())
    assert reused >= len([p for p in done_before if p.parent.name != "publish"]), "finished work was done again"


@pytest.mark.parametrize("end", ["ctrl-c", "sigterm"])
def test_a_signal_ends_it_within_5_s_and_says_how_to_continue(end, corpus, start, home, tmp_path):
    output = tmp_path / "out"
    process = start("run", corpus, output, *SETTINGS)
    while not (output / "work" / "ingest").exists() and process.poll() is None:
        time.sleep(0.05)
    began = time.monotonic()
    if end == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    else:
        process.terminate()
    text, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 130 and "run the same command again to continue" in text and "Traceback" not in text
    assert gone(home, 5) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "{tmp}/absent", "{tmp}/out"], 2, "INPUT {tmp}/absent: no such file or folder"),
        (["run", "{in}", "{in}"], 2, "choose another OUTPUT"),
        (["run", "{in}", "{tmp}/file"], 2, "cannot be written"),
        (["run", "{in}", "{tmp}/out", "--set", "gate.dnsmos_ovrl_mn=2"], 2, "did you mean 'dnsmos_ovrl_min'?"),
        (["run", "{in}", "{tmp}/out", "--config", "{tmp}/no.yaml"], 2, "no such file"),
        (["run", "{in}", "{tmp}/out", "--enhancer", "cgcrn-refind"], 2, "did you mean 'cgcrn-refined'?"),
        (["enhance", "{tmp}/absent", "{tmp}/out"], 2, "{tmp}/absent"),
        (["enhance", "{in}", "{tmp}/out", "--enhancer", "nothing"], 2, "has no weights"),
        (["score", "{in}", "--clean", "{tmp}/absent"], 2, "no such folder"),
        (["train-enhancer", "cgcnr", "--speech", "{in}", "--noise", "{in}", "--out", "{tmp}"], 2, "mean 'cgcrn'"),
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_one_clear_line(command, corpus, tmp_path, arguments, code, words):
    (tmp_path / "file").write_text("")

    def place(text: str) -> str:
        return text.replace("{tmp}", str(tmp_path)).replace("{in}", str(corpus))

    returned, text = command(*map(place, arguments))
    assert returned == code and place(words) in text.replace("\n", "") and "Traceback" not in text, text


def test_nothing_to_read_is_exit_code_1(command, tmp_path):
    (tmp_path / "in").mkdir()
    code, text = command("run", tmp_path / "in", tmp_path / "out")
    assert code == 1 and "nothing could be read" in text


def test_a_full_disk_stops_with_the_reason_and_goes_on_when_there_is_room(command, corpus, uninterrupted, tmp_path):
    output = tmp_path / "small"
    output.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", output], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        code, text = command("run", corpus, output, *SETTINGS)
        assert code == 1 and "No space left on device" in text and "run the same command again" in text, text
        subprocess.run(["mount", "-o", "remount,size=200m", output], check=True)
        code, text = command("run", corpus, output, *SETTINGS)
        assert code == 0, text
        assert content(output) == content(uninterrupted[0])
    finally:
        subprocess.run(["umount", output], check=True)


def test_enhance_keeps_tree_and_names_and_writes_16_khz_wav(command, corpus, tmp_path):
    shutil.copy(next(corpus.rglob("*.flac")), corpus / "deep.flac")
    try:
        code, text = command("enhance", corpus, tmp_path / "out")
    finally:
        (corpus / "deep.flac").unlink()
    assert code == 0, text
    made = {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert Path("deep.wav") in made
    sound = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"}
    stems = {p.relative_to(corpus).with_suffix("") for p in corpus.rglob("*") if p.suffix in sound}
    assert {p.with_suffix("") for p in made} <= stems | {Path("deep")} and len(made) >= len(stems) - 2
    assert {soundfile.info(tmp_path / "out" / p).samplerate for p in made} == {16000}
    assert "failed 2" in text  # the cut-off FLAC and the text


def test_score_prints_json_with_twins(command, tmp_path):
    demo.write_corpus(tmp_path / "in", clips=20, twins=tmp_path / "twins")
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


def test_yield_prints_a_table_and_draws_it(command, corpus, tmp_path):
    code, text = command("yield", corpus, "--sample", "6", "--plot", tmp_path / "yield.png")
    assert code == 0 and "dnsmos_ovrl" in text and "hours kept" in text, text
    assert (tmp_path / "yield.png").read_bytes().startswith(b"\x89PNG")
