"""Runs that end before they are done: killed, interrupted, out of disk; and what the next one makes of it."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.paths import COMMAND


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


def records(output: Path) -> set[Path]:
    """Records of the work that is done: a tar may be there before."""
    return set(output.glob("work/*/*.json"))


SETTINGS = ["--set", "shards.max_clips=1"]
ALONE = ["--workers", "1"]  # where it does not matter how many there are: each loads its networks


@pytest.fixture(scope="module")
def recordings(demo_corpus, tmp_path_factory) -> Path:
    """Four recordings, each a shard: enough to be killed between two of them."""
    folder = tmp_path_factory.mktemp("four")
    takes = (path for path in sorted(demo_corpus.rglob("*-0*")) if path.suffix in (".wav", ".flac", ".ogg", ".opus"))
    for path in islice(takes, 4):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(recordings, home, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    environment = os.environ | {"HOME": str(home)}
    result = subprocess.run(
        [COMMAND, "run", recordings, output, *SETTINGS, *ALONE],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
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


def test_kill_9_at_any_moment_then_the_same_result(recordings, uninterrupted, start, home, tmp_path):
    """Killed once at a random moment of the start and twice of the work itself, then left alone."""
    draw = random.Random(5)
    output = tmp_path / "out"
    whole = len(records(uninterrupted[0]))
    killed_at_work = 0
    for share_done in (0, 1 / 4, 1 / 2):
        process = start("run", recordings, output, *SETTINGS)
        while len(records(output)) < share_done * whole and process.poll() is None:
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 0.5) if share_done else draw.uniform(1.0, 6.0))
        if process.poll() is None:  # a fast machine may have ended the rest by now
            process.kill()
            killed_at_work += share_done > 0
        process.wait()
        assert gone(home, 60) == [], (
            "processes outlived their parent"
        )  # after imports, which take long on a busy machine
    assert killed_at_work, "it was never killed at its work"
    done_before = records(output)
    process = start("run", recordings, output, *SETTINGS, *ALONE)
    text, _ = process.communicate(timeout=250)
    assert process.returncode == 0, text
    assert content(output) == content(uninterrupted[0])
    assert not list((output / "work" / "tmp").iterdir())
    stages = {s["name"]: s for s in json.loads((output / "run.json").read_text())["stages"]}
    reused = sum(s["reused"] for s in stages.values())
    assert reused >= len([p for p in done_before if p.parent.name != "publish"]), "finished work was done again"


@pytest.mark.parametrize("end", ["ctrl-c", "sigterm"])
def test_a_signal_ends_it_within_5_s_and_says_how_to_continue(end, recordings, start, home, tmp_path):
    output = tmp_path / "out"
    process = start("run", recordings, output, *SETTINGS, *ALONE)
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


def test_a_full_disk_stops_with_the_reason_and_goes_on_when_there_is_room(command, recordings, uninterrupted, tmp_path):
    output = tmp_path / "small"
    output.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", output], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        code, text = command("run", recordings, output, *SETTINGS, *ALONE)
        assert code == 1 and "No space left on device" in text and "run the same command again" in text, text
        subprocess.run(["mount", "-o", "remount,size=200m", output], check=True)
        code, text = command("run", recordings, output, *SETTINGS, *ALONE)
        assert code == 0, text
        assert content(output) == content(uninterrupted[0])
    finally:
        subprocess.run(["umount", output], check=True)
