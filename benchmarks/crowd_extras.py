"""Time the crowd's run with speakers and DistillMOS off and on, and read the fixed pairs by DistillMOS beside DNSMOS.

usage: python benchmarks/crowd_extras.py [--section NAME]     writes the sections `extras` and `naturalness`
  of the documents; takes half an hour of two idle cores; CPU seconds hold on busy ones too
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from documents import table, write_section
from environment import COMMAND, DATA, Measured, machine, make_pairs, measure, own_children

RUNS = {
    "neither": (),
    "speakers": ("speakers.embed=true",),
    "DistillMOS": ("score.distillmos=true",),
    "both": ("speakers.embed=true", "score.distillmos=true"),
}
STAGES = ("score before", "enhance", "score after", "embed", "speakers", "publish", "report")
SECTIONS = ("extras", "naturalness")
SNRS = ("00dB", "05dB", "10dB", "15dB", "20dB")
SCORES = ("distillmos", "dnsmos_ovrl")


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", action="append", choices=SECTIONS, help="write only this one")
    wanted = parser.parse_args().section or SECTIONS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "extras" in wanted:
            write_section("extras", times({name: crowd(root / name, settings) for name, settings in RUNS.items()}))
        if "naturalness" in wanted:
            write_section("naturalness", naturalness(root))


def crowd(output: Path, settings: tuple[str, ...]) -> tuple[Measured, dict]:
    """Clean the crowd's clips at 16 kHz; return time and memory, and what run.json says."""
    given = [part for setting in ("audio.sample_rate=16000", *settings) for part in ("--set", setting)]
    took = measure(COMMAND, "run", DATA / "crowd", output, *given)
    return took, json.loads((output / "run.json").read_text())


def times(runs: dict[str, tuple[Measured, dict]]) -> str:
    """Return wall and CPU time, memory and worker seconds of each stage for each run, and what the voices rejected."""
    rows = []
    for name, (took, run) in runs.items():
        seconds = {stage["name"]: stage["seconds"] for stage in run["stages"]}
        shown = (f"{seconds[stage]:.1f}" if stage in seconds else "-" for stage in STAGES)
        whole = f"{took.wall_s:.0f}", f"{took.cpu_s:.0f}", f"{took.peak_gib:.2f}"
        rows.append([name, *whole, run["counts"]["kept"], *shown])
    found = runs["both"][1]["reasons"]
    rejected = ", ".join(f"{found.get(reason, {'clips': 0})['clips']} {reason}" for reason in ("speaker_change",))
    heads = ["the crowd's run with", "seconds", "CPU seconds", "GiB", "kept", *STAGES]
    return f"{machine()}. Stages in worker seconds. By the voice: {rejected}.\n\n{table(heads, rows)}"


def naturalness(root: Path) -> str:
    """Return the mean scores of the fixed pairs, noisy, enhanced and clean, by SNR."""
    make_pairs(root)
    subprocess.run([COMMAND, "enhance", root / "noisy", root / "enhanced"], check=True)
    scores = {version: _scores(root / version) for version in ("noisy", "enhanced", "clean")}
    rows = []
    for snr in SNRS:
        means = [[np.mean([v[s] for n, v in files.items() if snr in n]) for files in scores.values()] for s in SCORES]
        rows.append([snr, *(f"{mean:.2f}" for mean in np.concatenate(means))])
    heads = [f"{score}, {version}" for score in SCORES for version in scores]
    return table(["pairs of", *heads], rows)


def _scores(folder: Path) -> dict[str, dict[str, float]]:
    command = [COMMAND, "score", folder, "--distillmos", "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["files"]


if __name__ == "__main__":
    main()
