"""Recordings of 15 to 25 dB, as paper [004] cleans them: unseen speakers and noises before and after shipped weights.

usage: python benchmarks/mild.py [NAME or PATH ...]     default: all shipped weights, and the section `mild` of
  docs/RESULTS.md is written; with names it is only printed
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile
from readme import COMMAND, DATA, TOOLS, machine, put, table

import enhancers
from enhancers.evaluate import NOISY

SNRS_DB = (15, 20, 25)
STEADY = ("rain", "sea_waves", "helicopter", "chainsaw")  # paper [004] has the background of rooms
SHOWN = {"global_snr_db": "global SNR, dB", "segmental_snr_db": "segmental SNR, dB", "pesq_wb": "PESQ wb"}
PAPER_GAIN_DB = (3.3, 2.8, 1.4)
"""Paper [004], WGAN with GLU, global SNR at each of SNRS_DB."""

Means = dict[tuple[str, str, str], float]
"""System, measure, condition -> mean."""


def mix(root: Path) -> None:
    """The fixed pairs of 20 dB, their noise made louder and softer."""
    make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", root, "--every", "2"]
    subprocess.run(make, check=True)
    for path in sorted((root / "noisy").glob("*.wav")):
        twin = root / "clean" / path.name
        if path.stem.endswith("20dB"):
            (noisy, rate), (clean, _) = soundfile.read(path), soundfile.read(twin)
            for snr_db in SNRS_DB:
                name = path.name.replace("20dB", f"{snr_db}dB")
                mixed = clean + (noisy - clean) * 10 ** ((20 - snr_db) / 20)
                level = min(1.0, 0.99 / abs(mixed).max())
                soundfile.write(root / "mild" / "noisy" / name, level * mixed, rate)
                soundfile.write(root / "mild" / "clean" / name, level * clean, rate)


def means(names: list[str], root: Path) -> Means:
    for which in ("noisy", "clean"):
        (root / "mild" / which).mkdir(parents=True)
    mix(root)
    subprocess.run([COMMAND, "evaluate", *names, "--pairs", root / "mild", "--out", root / "out"], check=True)
    with (root / "out" / "summary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] in SHOWN]
    found = {(row["system"], row["metric"], row["value"]): float(row["mean"]) for row in rows}
    for system, metric in {key[:2] for key in found}:
        found[system, metric, "steady"] = sum(found[system, metric, noise] for noise in STEADY) / len(STEADY)
    return found


def report(found: Means) -> str:
    conditions = [*map(str, SNRS_DB), "steady"]
    rows = []
    for system in dict.fromkeys(system for system, *_ in found):
        for metric, about in SHOWN.items():
            values = [found[system, metric, condition] for condition in conditions]
            before = [found[NOISY, metric, condition] for condition in conditions]
            change = [f" ({v - b:+.2f})" if system != NOISY else "" for v, b in zip(values, before, strict=True)]
            rows.append([system, about, *(f"{v:.2f}{c}" for v, c in zip(values, change, strict=True))])
    rows.append(["paper [004]", SHOWN["global_snr_db"], *(f"({gain:+.1f})" for gain in PAPER_GAIN_DB), ""])
    text = table(["", "", *(f"{snr} dB" for snr in SNRS_DB), f"all of {', '.join(STEADY)}"], rows)
    return f"{text}\n\n25 utterances at each SNR, change against noisy in brackets; {machine()}."


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem for path in enhancers.WEIGHTS.glob("*.safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        text = report(means(names, Path(folder)))
    if sys.argv[1:]:
        print(text)
    else:
        put("mild", text, "docs/RESULTS.md")


if __name__ == "__main__":
    main()
