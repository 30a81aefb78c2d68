"""Train systems of the five papers alike under one small budget, and score them on pairs that none has heard.

usage: python benchmarks/paper_systems.py RUNS [--minutes M] [NAME ...]     trains the systems that RUNS lacks, then
  writes the section `results` of the documents; with names, trains only those and writes nothing. Two calls may train
  different systems at the same time. A call that was killed continues from its checkpoints.
python benchmarks/paper_systems.py RUNS --again NAME ...     trains these anew, for the steps that their published rows
  say, on any machine, and replaces these rows alone
"""

import argparse
import csv
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import torch
from documents import table, write_section
from environment import COMMAND, DATA, REPOSITORY, machine, make_pairs

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.training.train import TrainConfig, train

RESULTS = REPOSITORY / "docs" / "RESULTS.md"
QUARTER_WIDTH = (4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 256)
ADVERSARIAL = {
    "sizes": {"channels": QUARTER_WIDTH},  # 146M weights at full width: a step of both players takes half a minute
    "learning_rate": 5e-4,  # ten times the paper's, which is made for 100 000 steps
}
OWN = {"wgan-glu": ADVERSARIAL, "segan": ADVERSARIAL}
ROWS = (
    "cgcrn", "crn", "pl-crnn", "pl-crnn-iam", "dccrn-e", "dccrn-cl", "crn-cpsirm", "crn-dnn-dec", "dnn-irm", "nsnet",
    "wgan-glu", "segan",
)  # fmt: skip
MEASURES = (
    "pesq_wb",
    "pesq_nb",
    "stoi",
    "estoi",
    "si_sdr_db",
    "segmental_snr_db",
    "csig",
    "cbak",
    "covl",
    "dnsmos_ovrl",
)

PAPERS = {
    "cgcrn": "PESQ 1.72 → 2.52, STOI 66.4 → 83.5 % (-5 to 0 dB)",
    "crn": "PESQ 1.72 → 2.38, STOI 66.4 → 82.7 % (-5 to 0 dB)",
    "pl-crnn": "PESQ 1.99 → 2.63, STOI 75.4 → 85.2 % (unseen, -5 to 10 dB)",
    "pl-crnn-iam": "PESQ 1.99 → 2.64, STOI 75.4 → 84.8 % (unseen, -5 to 10 dB)",
    "dccrn-e": "PESQ 2.52 → 3.43 (WSJ0, 0 to 20 dB)",
    "dccrn-cl": "PESQ 2.52 → 3.50 (WSJ0, 0 to 20 dB)",
    "nsnet": "PESQ 2.45 → 2.68 (DNS, no reverberation)",
    "crn-cpsirm": "figures are images",
    "crn-dnn-dec": "figures are images",
    "dnn-irm": "figures are images",
    "wgan-glu": "PESQ 2.65 → 2.81, STOI 0.97 → 0.99, SSNR 13.3 → 15.9",
    "segan": "PESQ 2.65 → 2.61, STOI 0.97 → 0.97, SSNR 13.3 → 14.3",
}
"""SYSTEMS.md, the sections of reported results: means over the noises or SNRs of a table."""

Scores = dict[str, list[float]]
"""Measure -> mean, low and high end of its interval."""

CLAIMS = (
    ("000", "cgcrn", "crn", ("pesq_nb", "stoi")),
    ("001", "pl-crnn-iam", "pl-crnn", ("pesq_nb",)),
    ("001", "pl-crnn", "pl-crnn-iam", ("stoi",)),
    ("002", "crn-cpsirm", "dnn-irm", ("pesq_nb", "stoi")),
    ("002", "crn-dnn-dec", "crn-cpsirm", ("pesq_nb", "stoi")),
    ("003", "dccrn-cl", "dccrn-e", ("pesq_nb",)),
    ("003", "dccrn-e", "nsnet", ("pesq_nb",)),
    ("004", "wgan-glu", "segan", ("pesq_wb", "stoi", "segmental_snr_db", "csig", "cbak", "covl")),
)
"""Paper, the system that it reports as the better, the other, and by which measures."""


def config(name: str, minutes: float | None, steps: int = 100_000) -> TrainConfig:
    """Return the settings of a training, alike for all systems but for OWN."""
    return TrainConfig.model_validate(
        {
            "steps": steps, "steps_per_epoch": min(20, steps), "patience": 100_000, "budget_min": minutes,
            "lr_schedule": "constant", "warmup_steps": 20, "ema_decay": 0.98, "keep": "last", "workers": 0,
            "batch_size": 8, "validation_pairs": 24, "pesq_pairs": 0, "mix": {"seconds": 2.0},
        }
        | OWN.get(name, {})
    )  # fmt: skip


def train_all(names: tuple[str, ...], runs: Path, minutes: float | None, steps: dict[str, int] | None = None) -> None:
    """Train the systems that are not trained yet, one after the other, each for so many minutes or steps."""
    torch.set_num_threads(1)
    speech = [DATA / "speech" / "train", DATA / "speech" / "single_speaker"]
    for name in names:
        if not (runs / name / "best.json").exists():
            print("training", name, flush=True)
            settings = config(name, minutes, (steps or {}).get(name, 100_000))
            train(name, speech, [DATA / "noise" / "train"], runs / name, settings, print)


def evaluate(runs: Path, names: tuple[str, ...]) -> dict[str, Scores]:
    """Score systems and the noisy speech on the fixed pairs, unless RUNS has scores of the same weights."""
    wanted = {name: checkpoints.weights_sha256(str(runs / name)) for name in names}
    kept = {name: runs / name / "scores.json" for name in names} | {"noisy": runs / "noisy.json"}
    found = {name: json.loads(path.read_text()) for name, path in kept.items() if path.exists()}
    missing = [name for name in names if found.get(name, {}).get("weights") != wanted[name]]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            pairs, out = Path(folder, "pairs"), Path(folder, "out")
            make_pairs(pairs)
            weights = [runs / name / "best.safetensors" for name in missing]
            subprocess.run([COMMAND, "evaluate", *weights, "--pairs", pairs, "--out", out], check=True)
            with (out / "summary.csv").open() as file:
                rows = [row for row in csv.DictReader(file) if row["by"] == "all" and row["metric"] in MEASURES]
        for name in ("noisy", *missing):
            scores = {
                row["metric"]: [float(row[k]) for k in ("mean", "low", "high")] for row in rows if row["system"] == name
            }
            found[name] = {"weights": wanted.get(name), "scores": scores}
            kept[name].write_text(json.dumps(found[name]))
    return {name: found[name]["scores"] for name in ("noisy", *names)}


def measured_rows(runs: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the rows of the table of systems that lie in RUNS, and that of the noisy speech, as they are printed."""
    rows = {}
    for name, scores in evaluate(runs, names).items():
        cells = [f"{mean:.3g} ± {(high - low) / 2:.1g}" for mean, low, high in (scores[m] for m in MEASURES)]
        if name == "noisy":
            rows[name] = ["noisy", "", "", *cells, ""]
            continue
        card = json.loads((runs / name / "best.json").read_text())
        rows[name] = [name, f"{card['parameters'] / 1e6:.2f} M", str(card["steps"]), *cells, PAPERS[name]]
    return rows


def published() -> tuple[str, dict[str, list[str]]]:
    """Return what stands before the published table, and its rows."""
    section = re.search(r"^<!-- results -->\n(.*?)^<!-- /results -->$", RESULTS.read_text(), re.M | re.S).group(1)
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return section[: section.index("\n| system")].strip(), {row[0]: row for row in rows}


def report(rows: dict[str, list[str]], introduction: str) -> str:
    """Return the table, and which of the papers' claims it shows."""
    text = table(["system", "size", "steps", *MEASURES, "the paper's own"], list(rows.values()))
    shown = {True: [], False: []}
    for paper, better, other, metrics in CLAIMS:
        for metric in metrics:
            a, b = (float(rows[system][3 + MEASURES.index(metric)].split(" ")[0]) for system in (better, other))
            shown[a > b].append(f"- [{paper}] {better} above {other} in {metric}: {a:.3g} against {b:.3g}")
    return (
        f"{introduction}\n\n{text}\n\n"
        "Orders that the papers claim and this table shows:\n\n" + "\n".join(shown[True]) + "\n\n"
        "Orders that the papers claim and this table does not show:\n\n" + "\n".join(shown[False])
    )


def introduction(minutes: float) -> str:
    """Return how the systems were trained."""
    return (
        f"Each was trained for {minutes:g} minutes on one core, alike: speech of `speech/train` and "
        "`speech/single_speaker`, noise of `noise/train`, batches of 8 times 2 s, the losses and stages of its paper "
        "(stages share the time equally). `steps` are those of the last stage, of both players where there are two; "
        "wgan-glu and segan are a quarter as wide as printed and learn ten times as fast. Other work shared the "
        f"machine now and then. Mean and half of the 95 % bootstrap interval; {machine()}."
    )


def again(names: tuple[str, ...], runs: Path) -> str:
    """Train systems for as many steps as their published rows say, and return the section with their rows replaced."""
    before, rows = published()
    train_all(names, runs, None, {name: int(rows[name][2]) for name in names})
    rows |= {name: row for name, row in measured_rows(runs, names).items() if name != "noisy"}
    said = re.sub(r" Trained anew for as many steps.*", "", before, flags=re.S)
    return report(
        rows, f"{said} Trained anew for as many steps as before, to the last whole 20: {', '.join(names)}; {machine()}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", help="of the systems; default: all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--again", action="store_true", help="replace the rows of these systems")
    asked = parser.parse_intermixed_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = tuple(asked.names)
    if asked.again:
        write_section("results", again(names, asked.runs))
        return
    train_all(names or ROWS, asked.runs, asked.minutes)
    if not names:
        write_section("results", report(measured_rows(asked.runs, ROWS), introduction(asked.minutes)))


if __name__ == "__main__":
    main()
