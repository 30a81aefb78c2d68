"""Noisy/clean pairs of unseen speakers and unseen noise, before and after the shipped weights, by the fixed yardstick.

usage: python benchmarks/pairs.py [--enhancer NAME ...]     writes README sections `pairs` (the default by SNR) and
  `shipped` (all), and the scores in the cards
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from readme import COMMAND, DATA, TOOLS, Measured, machine, measure, put, table

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer

NEEDED = {"pesq": 0.3, "stoi": 0.0, "sisdr": 4.0, "ovrl": 0.4}
COLUMNS = ("pesq", "stoi", "sisdr", "sig", "bak", "ovrl", "p808")
MEANS = COLUMNS[:-1]


def scores(folder: Path, clean: Path) -> dict[str, dict[str, float]]:
    done = subprocess.run(
        [sys.executable, TOOLS / "score_pairs.py", folder, clean], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def compare(name: str) -> tuple[dict, dict, Measured, float]:
    """Scores before and after the enhancer of that name or path on the fixed pairs, what enhancing took, its speed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", root, "--every", "2"]
        subprocess.run(make, check=True)
        took = measure(COMMAND, "enhance", root / "noisy", root / "enhanced", "--enhancer", name)
        speed = times_real_time(name, sorted((root / "noisy").iterdir()))
        return scores(root / "noisy", root / "clean"), scores(root / "enhanced", root / "clean"), took, speed


def times_real_time(name: str, files: Sequence[Path]) -> float:
    """Seconds of audio a second of one core, one file after the other, without reading and writing."""
    enhancer, threads = load_enhancer(name), torch.get_num_threads()
    torch.set_num_threads(1)
    clips = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files]
    lengths = [torch.tensor([len(clip)]) for clip in clips]
    enhancer(clips[0][None], lengths[0])
    start = time.process_time()
    for clip, length in zip(clips, lengths, strict=True):
        enhancer(clip[None], length)
    took_s = time.process_time() - start
    torch.set_num_threads(threads)
    return sum(map(len, clips)) / enhancer.sample_rate / took_s


PEERS = (
    "best of RNNoise, DTLN, GTCRN and noisereduce, column by column",
    "", 2.339, 0.918, 14.05, 3.291, 3.964, 2.999, 238,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--enhancer", action="append", help="only these, anew; the others as their cards say")
    asked = parser.parse_args().enhancer
    names = sorted((path.stem for path in checkpoints.WEIGHTS.glob("*.safetensors")), key=lambda n: (len(n), n))
    took = {}
    for name in asked or names:
        before, after, took[name], speed = compare(name)
        _into_card(name, before, after, speed)
    cards = {name: checkpoints.card(name) for name in names}
    if checkpoints.DEFAULT in took:
        put("pairs", _by_snr(cards[checkpoints.DEFAULT]["scores"], took[checkpoints.DEFAULT]))
    lines: list[Sequence[object]] = [
        ["noisy", "", *(cards[names[0]]["scores"]["noisy"]["all"][c] for c in MEANS), ""],
        PEERS,
    ]
    for name, card in cards.items():
        means = card["scores"]["enhanced"]["all"]
        speed = card["scores"]["times_real_time"]
        lines.append([f"`{name}`", f"{card['parameters']:,}", *(f"**{means[c]}**" for c in MEANS), speed])
    head = ["weights", "parameters", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "x real time, one core"]
    put("shipped", table(head, lines))


def _by_snr(scores: dict, took: Measured) -> str:
    before, after, name = scores["noisy"], scores["enhanced"], checkpoints.DEFAULT
    rows = []
    for snr in ("all", "00dB", "05dB", "10dB", "15dB", "20dB"):
        rows.append([f"noisy, {snr}", *(before[snr][c] for c in COLUMNS)])
        rows.append([f"**{name}**, {snr}", *(f"**{after[snr][c]}**" for c in COLUMNS)])
    gained = {c: after["all"][c] - before["all"][c] for c in NEEDED}
    text = table(["", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "P.808"], rows)
    text += "\n\nGained over noisy: " + ", ".join(f"{c} {gained[c]:+.3f} (asked {NEEDED[c]:+g})" for c in NEEDED)
    return text + f".\n{before['n']} pairs, enhanced in {took.wall_s:.0f} s with start-up; {machine()}."


def _into_card(name: str, before: dict, after: dict, speed: float) -> None:
    path = (checkpoints.WEIGHTS / name).with_suffix(".json")
    if path.exists():
        card = json.loads(path.read_text())
        card["scores"] = {
            "pairs": f"{before['n']} pairs of unseen speakers and unseen noise, 0 to 20 dB",
            "noisy": before,
            "enhanced": after,
            "times_real_time": round(speed, 1),
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
