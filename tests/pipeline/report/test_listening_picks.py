"""The clips that the report plays: the right ones, in the right order, known from the ledger alone."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from clean_corpus.pipeline.report.listening_picks import CLIPS_PER_GROUP, Group, picked, picks
from clean_corpus.pipeline.report.page import write_report
from tests.support.ledgers import audio, clip, ledger, mixed, run_of
from tests.support.paths import REPOSITORY


def test_picks_are_known_before_the_report_and_are_all_it_asks_for(tmp_path):
    asked = []

    def heard(clip_id, version):
        asked.append(clip_id)
        return audio(clip_id, version)

    file = ledger(tmp_path, mixed())
    known = picked(file)
    assert picks(file)[0] == Group("Best", "kept, highest dnsmos_ovrl", ["guarded", "kept-11", "kept-10", "kept-09"])
    assert known == [clip_id for group in picks(file) for clip_id in group.clip_ids]
    write_report(file, run_of(), tmp_path / "report", heard)
    assert asked == [clip_id for clip_id in known for _ in ("raw", "enhanced")]


@pytest.mark.parametrize("rows_per_group", [1, 40, 400])
def test_picks_are_those_of_the_whole_ledger_sorted(tmp_path, rows_per_group):
    """Few distinct scores, so that names decide, and as many clips as several groups want."""
    random = np.random.default_rng(3)
    rows = [
        clip(f"c{i:03}", before=random.integers(8, 12) / 4, after=random.integers(8, 12) / 4, chosen="enhanced")
        for i in range(200)
    ]
    rows += [clip(f"r{i:03}", "rejected", reason=("snr_db", "duplicate")[i % 2]) for i in range(40)]
    random.shuffle(rows)

    kept = [row for row in rows if row["verdict"] == "kept"]
    by_score = sorted((row["after_dnsmos_ovrl"], row["clip_id"]) for row in kept)
    by_change = sorted((row["after_dnsmos_ovrl"] - row["before_dnsmos_ovrl"], row["clip_id"]) for row in kept)
    by_hash = sorted(rows, key=lambda row: hashlib.sha256(row["clip_id"].encode()).digest())
    wanted = {
        "Best": [name for _, name in by_score[::-1]],
        "Worst kept": [name for _, name in by_score],
        "Most improved": [name for change, name in by_change[::-1] if change > 0],
        "Most damaged": [name for change, name in by_change if change < 0],
        "Kept, at random": [row["clip_id"] for row in by_hash if row["verdict"] == "kept"],
        "Rejected: duplicate": [row["clip_id"] for row in by_hash if row["reason"] == "duplicate"],
        "Rejected: snr_db": [row["clip_id"] for row in by_hash if row["reason"] == "snr_db"],
    }
    used: set[str] = set()
    for title, names in wanted.items():
        wanted[title] = [name for name in names if name not in used][:CLIPS_PER_GROUP]
        used.update(wanted[title])
    assert {
        group.title: group.clip_ids for group in picks(ledger(tmp_path, rows, rows_per_group=rows_per_group))
    } == wanted


def test_picks_come_without_the_plots():
    """The flow's process wants the names and must stay small."""
    code = "import sys, clean_corpus.pipeline.report.listening_picks; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
