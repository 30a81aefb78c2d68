"""Noisy/clean pairs of unseen speakers and unseen noise, before and after the shipped weights, by the fixed yardstick.

usage: python benchmarks/pairs.py [--enhancer NAME ...]     writes README sections `pairs` (the default by SNR) and
  `shipped` (all), and the scores in the cards
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from readme import COMMAND, DATA, TOOLS, Measured, machine, measure, put, table

import enhancers

NEEDED = {"pesq": 0.3, "stoi": 0.0, "sisdr": 4.0, "ovrl": 0.4}
COLUMNS = ("pesq", "stoi", "sisdr", "sig", "bak", "ovrl", "p808")
MEANS = COLUMNS[:-1]


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


PEERS = ("best of RNNoise, DTLN, GTCRN and noisereduce, column by column", "", 2.339, 0.918, 14.05, 3.291, 3.964, 2.999)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--enhancer", action="append", help="only these, anew; the others as their cards say")
    asked = parser.parse_args().enhancer
    names = sorted((path.stem for path in enhancers.WEIGHTS.glob("*.safetensors")), key=lambda n: (len(n), n))
    took = {}
    for name in asked or names:
        before, after, took[name] = compare(name)
        _into_card(name, before, after)
    cards = {name: enhancers.card(name) for name in names}
    if enhancers.DEFAULT in took:
        put("pairs", _by_snr(cards[enhancers.DEFAULT]["scores"], took[enhancers.DEFAULT]))
    lines: list[Sequence[object]] = [
        ["noisy", "", *(cards[names[0]]["scores"]["noisy"]["all"][c] for c in MEANS)],
        PEERS,
    ]
    for name, card in cards.items():
        means = card["scores"]["enhanced"]["all"]
        lines.append([f"`{name}`", f"{card['parameters']:,}", *(f"**{means[c]}**" for c in MEANS)])
    put("shipped", table(["weights", "parameters", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL"], lines))


def _by_snr(scores: dict, took: Measured) -> str:
    before, after, name = scores["noisy"], scores["enhanced"], enhancers.DEFAULT
    rows = []
    for snr in ("all", "00dB", "05dB", "10dB", "15dB", "20dB"):
        rows.append([f"noisy, {snr}", *(before[snr][c] for c in COLUMNS)])
        rows.append([f"**{name}**, {snr}", *(f"**{after[snr][c]}**" for c in COLUMNS)])
    gained = {c: after["all"][c] - before["all"][c] for c in NEEDED}
    text = table(["", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "P.808"], rows)
    text += "\n\nGained over noisy: " + ", ".join(f"{c} {gained[c]:+.3f} (asked {NEEDED[c]:+g})" for c in NEEDED)
    return text + f".\n{before['n']} pairs, enhanced in {took.wall_s:.0f} s with start-up; {machine()}."


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
