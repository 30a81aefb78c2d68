"""Score the shipped enhancers on noisy/clean pairs of unseen speakers and unseen noise, before and after.

usage: python benchmarks/pairs.py [--enhancer NAME ...]     writes the sections `pairs` (the default by SNR)
  and `shipped` (all) of the documents, and the scores in the cards
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
from documents import table, write_section
from environment import COMMAND, TOOLS, Measured, machine, make_pairs, measure, own_children

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer

REQUIRED_GAIN = {"pesq": 0.3, "stoi": 0.0, "sisdr": 4.0, "ovrl": 0.4}
COLUMNS = ("pesq", "stoi", "sisdr", "sig", "bak", "ovrl", "p808")
MEANS = COLUMNS[:-1]


def scores(folder: Path, clean: Path) -> dict[str, dict[str, float]]:
    """Return mean scores of a folder against its clean versions, by SNR, from the fixed yardstick."""
    done = subprocess.run(
        [sys.executable, TOOLS / "score_pairs.py", folder, clean], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def compare(name: str) -> tuple[dict, dict, Measured, float]:
    """Return the scores of the fixed pairs before and after an enhancer, the cost of enhancing, and the speed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_pairs(root)
        took = measure(COMMAND, "enhance", root / "noisy", root / "enhanced", "--enhancer", name)
        speed = times_real_time(name, sorted((root / "noisy").iterdir()))
        return scores(root / "noisy", root / "clean"), scores(root / "enhanced", root / "clean"), took, speed


def times_real_time(name: str, files: Sequence[Path]) -> float:
    """Return the seconds of audio that a core enhances in a second, one file after the other, without file access."""
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
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enhancer", action="append", help="score only these; take the others from their cards")
    asked = parser.parse_args().enhancer
    names = sorted(checkpoints.shipped(), key=lambda n: (len(n), n))
    took = {}
    for name in asked or names:
        before, after, took[name], speed = compare(name)
        _write_card(name, before, after, speed)
    cards = {name: checkpoints.card(name) for name in names}
    if checkpoints.DEFAULT in took:
        write_section("pairs", _by_snr(cards[checkpoints.DEFAULT]["scores"], took[checkpoints.DEFAULT]))
    lines: list[Sequence[object]] = [
        ["noisy", "", *(cards[names[0]]["scores"]["noisy"]["all"][c] for c in MEANS), ""],
        PEERS,
    ]
    for name, card in cards.items():
        means = card["scores"]["enhanced"]["all"]
        speed = card["scores"]["times_real_time"]
        lines.append([f"`{name}`", f"{card['parameters']:,}", *(f"**{means[c]}**" for c in MEANS), speed])
    head = ["weights", "parameters", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "x real time, one core"]
    write_section("shipped", table(head, lines))


def _by_snr(scores: dict, took: Measured) -> str:
    """Return the scores of the default enhancer by SNR, and its gain over noisy."""
    before, after, name = scores["noisy"], scores["enhanced"], checkpoints.DEFAULT
    rows = []
    for snr in ("all", "00dB", "05dB", "10dB", "15dB", "20dB"):
        rows.append([f"noisy, {snr}", *(before[snr][c] for c in COLUMNS)])
        rows.append([f"**{name}**, {snr}", *(f"**{after[snr][c]}**" for c in COLUMNS)])
    gained = {c: after["all"][c] - before["all"][c] for c in REQUIRED_GAIN}
    text = table(["", "PESQ wb", "STOI", "SI-SDR dB", "SIG", "BAK", "OVRL", "P.808"], rows)
    gains = ", ".join(f"{c} {gained[c]:+.3f} (asked {least:+g})" for c, least in REQUIRED_GAIN.items())
    text += f"\n\nGained over noisy: {gains}"
    return text + f".\n{before['n']} pairs, enhanced in {took.wall_s:.0f} s with start-up; {machine()}."


def _write_card(name: str, before: dict, after: dict, speed: float) -> None:
    """Write the scores into the card of a shipped enhancer."""
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
