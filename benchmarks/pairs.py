"""Noisy/clean pairs of unseen speakers and unseen noise, before and after the default enhancer, by the fixed yardstick.

usage: python benchmarks/pairs.py [--enhancer NAME]     writes README section `pairs` and the scores in the card
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from readme import COMMAND, DATA, TOOLS, Measured, machine, measure, put, table

import enhancers

NEEDED = {"pesq": 0.3, "stoi": 0.0, "sisdr": 4.0, "ovrl": 0.4}
COLUMNS = ("pesq", "stoi", "sisdr", "sig", "bak", "ovrl", "p808")


def scores(folder: Path, clean: Path) -> dict[str, dict[str, float]]:
    done = subprocess.run(
        [sys.executable, TOOLS / "score_pairs.py", folder, clean], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def compare(name: str) -> tuple[dict, dict, Measured]:
    """Scores before and after the enhancer of that name or path on the fixed pairs, and what enhancing took."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", root, "--every", "2"]
        subprocess.run(make, check=True)
        took = measure(COMMAND, "enhance", root / "noisy", root / "enhanced", "--enhancer", name)
        return scores(root / "noisy", root / "clean"), scores(root / "enhanced", root / "clean"), took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--enhancer", default=enhancers.DEFAULT)
    name = parser.parse_args().enhancer
    before, after, took = compare(name)
    _into_card(name, before, after)
    rows = []
    for snr in ("all", "00dB", "05dB", "10dB", "15dB", "20dB"):
        rows.append([f"noisy, {snr}", *(before[snr][c] for c in COLUMNS)])
        rows.append([f"**{name}**, {snr}", *(f"**{after[snr][c]}**" for c in COLUMNS)])
    gained = {c: after["all"][c] - before["all"][c] for c in NEEDED}
    text = table(["", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "P.808"], rows)
    text += "\n\nGained over noisy: " + ", ".join(f"{c} {gained[c]:+.3f} (asked {NEEDED[c]:+g})" for c in NEEDED)
    text += f".\n{before['n']} pairs, enhanced in {took.wall_s:.0f} s with start-up; {machine()}."
    put("pairs", text)


def _into_card(name: str, before: dict, after: dict) -> None:
    path = (enhancers.WEIGHTS / name).with_suffix(".json")
    if path.exists():
        card = json.loads(path.read_text())
        card["scores"] = {
            "pairs": f"{before['n']} pairs of unseen speakers and unseen noise, 0 to 20 dB",
            "noisy": before,
            "enhanced": after,
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
