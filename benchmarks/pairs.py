"""Score the shipped enhancers and other tools on noisy/clean pairs of unseen speakers and unseen noise, by SNR.

usage: python benchmarks/pairs.py [--enhancer NAME ...]     writes the sections `pairs` (by SNR) and `shipped` (means)
  of the documents, the scores in the cards, and those of other tools in peers16.json

Tools that `make peers` has installed run on the same files, DeepFilterNet3 at 48 kHz and back. Without it, and for
RNNoise, DTLN and GTCRN, whose weights it does not install, the figures of peers16.json stand. Speeds are measured
first: leave the machine alone until scores are printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import soundfile
import soxr
import torch
from documents import table, write_section
from environment import COMMAND, TOOLS, machine, make_pairs, measure, own_children
from peers48 import PEERS as INSTALLED
from peers48 import DeepFilterNet3, noisereduce, require_peers

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.distillmos import DistillMos

RATE, PEER_RATE = 16000, 48000
REQUIRED_GAIN = {"pesq": 0.3, "stoi": 0.0, "sisdr": 4.0, "ovrl": 0.4}
MEASURES = {
    "pesq": "PESQ wb", "stoi": "STOI", "sisdr": "SI-SDR dB", "sig": "SIG", "bak": "BAK", "ovrl": "OVRL",
    "p808": "P.808", "distillmos": "DistillMOS",
}  # fmt: skip
MEANS = ("pesq", "stoi", "sisdr", "sig", "bak", "ovrl")  # columns of the section `shipped`
GROUPS = {"all": "all", "00dB": "0 dB", "05dB": "5 dB", "10dB": "10 dB", "15dB": "15 dB", "20dB": "20 dB"}
PEERS = Path(__file__).with_name("peers16.json")

Scores = dict[str, dict[str, float]]
"""Means by group of pairs and measure."""


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enhancer", action="append", help="score only these; take the others from their cards")
    asked = parser.parse_args().enhancer
    rows = [name for name in checkpoints.shipped() if checkpoints.card(name)["sample_rate"] == RATE]
    names = sorted(rows, key=lambda n: (len(n), n))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_pairs(root)
        noisy = sorted((root / "noisy").iterdir())
        tools = {} if asked else installed_tools()
        speeds = {name: times_real_time(as_function(name), noisy) for name in asked or names}
        speeds |= {name: times_real_time(tool, noisy) for name, tool in tools.items()}
        took = {name: enhance(name, root) for name in asked or names}
        for name, tool in tools.items():
            (root / name).mkdir()
            for path in noisy:
                soundfile.write(root / name / path.name, tool(soundfile.read(path, dtype="float32")[0]), RATE)
        found: dict[str, Scores] = {}
        for name in ("noisy", *took, *tools):
            found[name] = scores(root / name, root / "clean")
            print(name, found[name]["all"], file=sys.stderr, flush=True)
    for name in took:
        write_card(name, found["noisy"], found[name], len(noisy), speeds[name])
    write_peers({name: found[name] for name in tools}, speeds)
    write_documents(names, found["noisy"])
    if checkpoints.DEFAULT in took:
        print(f"enhanced by {checkpoints.DEFAULT} in {took[checkpoints.DEFAULT]:.0f} s with start-up")


def installed_tools() -> dict[str, Callable[[Audio], Audio]]:
    """Return the tools that `make peers` has installed, as functions of a clip at RATE, (N,) -> (N,)."""
    if not INSTALLED.is_dir():
        return {}
    require_peers()

    network = DeepFilterNet3()

    def deep_filter(x: Audio) -> Audio:
        y = network(soxr.resample(x, RATE, PEER_RATE, quality="VHQ"))
        return soxr.resample(y, PEER_RATE, RATE, quality="VHQ")[: len(x)]

    return {"DeepFilterNet3": deep_filter, "noisereduce": noisereduce("stationary", RATE)}


def as_function(name: str) -> Callable[[Audio], object]:
    """Return an enhancer as a function of a clip, (N,)."""
    enhancer = load_enhancer(name)
    return lambda x: enhancer(torch.from_numpy(x)[None], torch.tensor([len(x)]))


def times_real_time(function: Callable[[Audio], object], files: Sequence[Path]) -> float:
    """Return the seconds of audio that a core enhances in a second, one file after the other, without file access."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    clips = [soundfile.read(file, dtype="float32")[0] for file in files]
    function(clips[0])
    start = time.process_time()
    for clip in clips:
        function(clip)
    took_s = time.process_time() - start
    torch.set_num_threads(threads)
    return sum(map(len, clips)) / RATE / took_s


def enhance(name: str, root: Path) -> float:
    """Enhance ROOT/noisy to ROOT/NAME; return the wall time in seconds."""
    return measure(COMMAND, "enhance", root / "noisy", root / name, "--enhancer", name).wall_s


def scores(folder: Path, clean: Path) -> Scores:
    """Return mean scores of a folder against its clean versions: from the fixed yardstick, and DistillMOS."""
    yardstick = [sys.executable, TOOLS / "score_pairs.py", folder, clean]
    done = subprocess.run(yardstick, check=True, capture_output=True, text=True)
    found = {group: means for group, means in json.loads(done.stdout).items() if group in GROUPS}
    paths = sorted(folder.iterdir())
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        opinions = dict(zip(paths, pool.map(naturalness, paths, chunksize=4), strict=True))
    for group, means in found.items():
        means["distillmos"] = round(statistics.mean(v for p, v in opinions.items() if group in ("all", _group(p))), 3)
    return found


def _group(path: Path) -> str:
    """Return the SNR in a pair's name."""
    return next(group for group in GROUPS if f"__{group}" in path.name)


@cache
def _distillmos() -> DistillMos:
    return DistillMos()


def naturalness(path: Path) -> float:
    """Return the DistillMOS of a file."""
    return _distillmos()(soundfile.read(path, dtype="float32")[0])


def write_card(name: str, before: Scores, after: Scores, count: int, speed: float) -> None:
    """Write the scores into the card of a shipped enhancer."""
    path = (checkpoints.WEIGHTS / name).with_suffix(".json")
    if path.exists():
        card = json.loads(path.read_text())
        card["scores"] = {
            "pairs": f"{count} pairs of unseen speakers and unseen noise, 0 to 20 dB",
            "noisy": before,
            "enhanced": after,
            "times_real_time": round(speed, 1),
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


def write_peers(found: dict[str, Scores], speeds: dict[str, float]) -> None:
    """Write the scores of tools that were run into peers16.json."""
    rows = json.loads(PEERS.read_text())
    for row in rows:
        if row["name"] in found:
            row |= {"scores": found[row["name"]], "times_real_time": round(speeds[row["name"]], 1), "run": machine()}
    PEERS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def write_documents(names: Sequence[str], noisy: Scores) -> None:
    """Write both sections, from the cards, peers16.json and the scores of what came in."""
    cards, peers = {name: checkpoints.card(name) for name in names}, json.loads(PEERS.read_text())
    ours = {name: card["scores"]["enhanced"] for name, card in cards.items()}
    systems = {"noisy": noisy} | {row["name"]: row["scores"] for row in peers}
    systems |= {f"**`{name}`**": found for name, found in ours.items()}
    tables = [
        table([title, *GROUPS.values()], [[name, *_cells(found, measure)] for name, found in systems.items()])
        for measure, title in MEASURES.items()
    ]
    gained = {m: ours[checkpoints.DEFAULT]["all"][m] - noisy["all"][m] for m in REQUIRED_GAIN}
    gains = ", ".join(f"{MEASURES[m]} {gained[m]:+.3f} (asked {least:+g})" for m, least in REQUIRED_GAIN.items())
    run = [row["name"] for row in peers if "run" in row]
    remark = f"`{checkpoints.DEFAULT}` gains over noisy: {gains}. Run beside ours: {' and '.join(run) or 'none'}; the "
    remark += f"other tools' figures are published ones. {machine()}."
    write_section("pairs", "\n\n".join([*tables, remark]))
    lines: list[Sequence[object]] = [["noisy", "", *(noisy["all"][m] for m in MEANS), ""]]
    lines += [[p["name"], "", *(p["scores"]["all"][m] for m in MEANS), p["times_real_time"]] for p in peers]
    lines += [
        [f"`{name}`", f"{card['parameters']:,}", *(f"**{ours[name]['all'][m]}**" for m in MEANS),
         card["scores"]["times_real_time"]] for name, card in cards.items()
    ]  # fmt: skip
    head = ["weights", "parameters", *(MEASURES[m] for m in MEANS), "x real time, one core"]
    write_section("shipped", table(head, lines))


def _cells(found: Scores, measure: str) -> list[object]:
    return [found.get(group, {}).get(measure, "") for group in GROUPS]


if __name__ == "__main__":
    main()
