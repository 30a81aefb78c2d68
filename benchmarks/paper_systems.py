"""Train systems of the five papers alike, each for the same computing, and score them on pairs that none has heard.

usage: python benchmarks/paper_systems.py RUNS [--minutes M] [NAME ...]     trains the named systems, or all that fit
  into the time, one after the other; each that is trained and scored is written to `paper_systems.jsonl` at once, and
  the section `results` of the documents anew, with what is still missing. A call that was killed continues from its
  checkpoints in RUNS; rows that stand in the file with these minutes are not trained again. Two calls may train
  different systems at the same time, and the machine may do other work: the minutes are a core's own.
python benchmarks/paper_systems.py RUNS --report      writes the section from the file, trains nothing
"""

import argparse
import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import soundfile
import torch
from documents import table, write_section
from environment import DATA, REPOSITORY, machine, make_pairs, own_children
from paper_orders import load_figures, mean_and_half, own_figures, report

from clean_corpus.enhancers import catalogue
from clean_corpus.enhancers.evaluation import PairScorer
from clean_corpus.enhancers.pairs import RATE, find_pairs
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.enhancers.training.train import train
from clean_corpus.pipeline.core.config import EnhanceConfig
from clean_corpus.pipeline.corpus.enhance import enhance_clips

ROWS = "benchmarks/paper_systems.jsonl"  # first the names of the pairs, then a system a line
BATCH, SECONDS = 8, 2.0
LEAST_STEPS = 100  # of a stage: less says nothing of a system
FMA_PER_S = 50e9  # forward and backward, one core of AMD EPYC, as most of these networks reach
ADVERSARIAL = {  # 146M weights at full width: a step of both players takes half a minute
    "sizes": {"channels": (8, 16, 16, 32, 32, 64, 64, 96, 96, 128, 128), "residual": True},
    "learning_rate": 5e-4,  # ten times the paper's, which is made for 100 000 steps
}
CORRECTED = {"loss_weights": {"waveform_error": 0.1}}  # L1 alone hears the pre-emphasised signal
OWN = {
    "wgan-glu": ADVERSARIAL | CORRECTED, "wgan-prelu": ADVERSARIAL | CORRECTED, "segan": ADVERSARIAL,
}  # fmt: skip
EASY_SNR_DB = (-8.0, 12.0)  # of the adversarial rows: from mild noise alone they learn nothing in this time
MEASURES = (
    "pesq_wb", "pesq_nb", "stoi", "estoi", "si_sdr_db", "segmental_snr_db", "csig", "cbak", "covl", "dnsmos_ovrl",
)  # fmt: skip
ALSO_KEPT = ("sdr_db", "global_snr_db", "fw_segmental_snr_db")  # by which papers order, beside those


def systems() -> dict[str, dict[str, Any]]:
    """Return the rows of the five papers that can be trained here, as the catalogue describes them."""
    return {row["name"]: row for row in catalogue.describe_all() if row["paper"] != "own" and row["fma_per_s"]}


def expected_steps(row: dict[str, Any], minutes: float) -> int:
    """Return about how many steps a stage of a row makes in its share of the time."""
    if row["name"] in OWN:  # of reduced width, and two stages that are not the catalogue's
        return LEAST_STEPS
    work = 3 * row["fma_per_s"] * BATCH * SECONDS
    return int(60 * minutes / (len(row["stages"]) + 1) * FMA_PER_S / work)


def config(name: str, minutes: float | None, **own: object) -> TrainConfig:
    """Return the settings of a training, alike for all systems but for OWN."""
    return TrainConfig.model_validate(
        {
            "steps": 100_000, "steps_per_epoch": 20, "patience": 100_000, "budget_min": minutes,
            "budget_counts": "computing", "lr_schedule": "constant", "warmup_steps": 20, "ema_decay": 0.98,
            "keep": "last", "workers": 0,
            "batch_size": BATCH, "validation_pairs": 24, "pesq_pairs": 0,
            "mix": {"seconds": SECONDS} | ({"snr_db": EASY_SNR_DB} if name in OWN else {}),
        }
        | OWN.get(name, {})
        | own
    )  # fmt: skip


def train_row(name: str, out: Path, minutes: float) -> Path:
    """Train a system for so many minutes; one with a critic half of that without it, and half with it."""
    speech, noise = [DATA / "speech" / "train", DATA / "speech" / "single_speaker"], [DATA / "noise" / "train"]
    if name not in OWN:
        return train(name, speech, noise, out, config(name, minutes), print)
    weights = OWN[name].get("loss_weights", {}) | {"adversarial": 0.0}
    alone = config(name, minutes / 2, loss_weights=weights)
    first = train(name, speech, noise, out / "without-critic", alone, print)
    return train(name, speech, noise, out, config(name, minutes / 2, start_from=str(first)), print)


def score(weights: Path | None) -> tuple[list[str], dict[str, list[float | None]]]:
    """Return the names of the fixed pairs and the scores on each: of weights, or of the noisy speech, as `evaluate`."""
    enhancer, scorer = weights and load_enhancer(str(weights)), PairScorer()
    with tempfile.TemporaryDirectory() as folder:
        make_pairs(Path(folder))
        pairs = find_pairs(Path(folder))
        rows = []
        for pair in pairs:
            estimate, clean = (soundfile.read(path, dtype="float32")[0] for path in (pair.noisy, pair.clean))
            if enhancer:
                (estimate,) = enhance_clips([estimate], enhancer, EnhanceConfig(), sample_rate=RATE)
            rows.append(scorer.score(estimate, clean))
    return [pair.name for pair in pairs], {key: [_number(row[key]) for row in rows] for key in MEASURES + ALSO_KEPT}


def _number(value: float | None) -> float | None:
    """Return a value to four digits, None where nothing was measured."""
    return None if value is None else float(f"{value:.4g}")


def read_rows(path: Path) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Return the names of the pairs, and each system's row."""
    head, *rows = (json.loads(line) for line in path.read_text().splitlines())
    return head["pairs"], {row["name"]: row for row in rows}


def keep_rows(path: Path, pairs: list[str], new: Iterable[dict[str, Any]]) -> None:
    """Put rows into the file in place of those of the same names, in the order of the table of systems.

    Raises: ValueError if the file's rows are of other pairs.
    """
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another call may have finished a system meanwhile
        known, rows = read_rows(path)
        if known and known != pairs:
            raise ValueError(f"{path} has scores of {len(known)} pairs, {known[0]} first, not of {pairs[0]} and others")
        rows |= {row["name"]: row for row in new}
        order = ["noisy", *systems()]
        lines = [{"pairs": pairs}, *sorted(rows.values(), key=lambda row: order.index(row["name"]))]
        file.seek(0)
        file.write("".join(json.dumps(line) + "\n" for line in lines))
        file.truncate()


def make_row(name: str, runs: Path, minutes: float, path: Path) -> None:
    """Train and score one system, and keep its row."""
    weights = train_row(name, runs / name, minutes)
    card = json.loads(weights.with_suffix(".json").read_text())
    pairs, scores = score(weights)
    about = {"name": name, "minutes": minutes, "steps": card["steps"], "parameters": card["parameters"]}
    about |= {"sizes": card["sizes"]} if card["sizes"] else {}
    new = [about | {"machine": machine(), "scores": scores}]
    if "noisy" not in read_rows(path)[1]:
        new.append({"name": "noisy", "minutes": None, "scores": score(None)[1]})
    keep_rows(path, pairs, new)


def section(path: Path, minutes: float) -> str:
    """Return the table of what is there, what is missing, and the orders of the papers."""
    pairs, rows = read_rows(path)
    figures = load_figures()
    lines = []
    for name, row in rows.items():
        found = [mean_and_half(row, measure) for measure in MEASURES]
        cells = [f"{value[0]:.3g} ± {value[1]:.1g}" if value else "" for value in found]
        about = (
            [f"{row['parameters'] / 1e6:.2f} M", f"{row['minutes']:g}", row["steps"]] if row["minutes"] else [""] * 3
        )
        lines.append([name, *about, *cells, own_figures(name, figures)])
    head = table(["system", "size", "minutes", "steps", *MEASURES, "the paper's own"], lines)
    orders = (
        "Whether the table shows the orders in which the papers have their systems, beyond the noise of the pairs: the "
        "95 % interval of the difference, resampled by utterance, leaves out zero. Systems with other minutes are not "
        "compared. Another seed of training would move a system further than that.\n\n" + report(rows, pairs, figures)
    )
    return "\n\n".join([introduction(rows, minutes), head, missing(rows, minutes), orders])


def missing(rows: dict[str, Any], minutes: float) -> str:
    """Return which systems are not trained for so long yet, and which do not fit into that time."""
    steps = {name: expected_steps(row, minutes) for name, row in systems().items()}
    fit = [name for name, count in steps.items() if count >= LEAST_STEPS]
    done = [name for name in fit if rows.get(name, {}).get("minutes") == minutes]
    left = [name for name in fit if name not in done]
    large = [f"{name} ({count})" for name, count in steps.items() if count < LEAST_STEPS]
    return (
        f"Trained for {minutes:g} minutes: {len(done)} of {len(fit)} systems that fit into them. "
        f"Missing: {', '.join(left) or 'none'}. Without {LEAST_STEPS} steps a stage in that time, by their "
        f"multiplications: {', '.join(large) or 'none'}."
    )


def introduction(rows: dict[str, Any], minutes: float) -> str:
    """Return how the systems were trained, and where; of rows of other minutes, what was not alike."""
    machines = sorted({row["machine"].rpartition(", ")[0] for row in rows.values() if row["minutes"]})
    others = {name: row["minutes"] for name, row in rows.items() if row["minutes"] not in (None, minutes)}
    older = (
        f"Rows of {' and '.join(f'{each:g}' for each in sorted(set(others.values())))} minutes are older: minutes of "
        "the clock, with other work beside them now and then"
        f"{', and the critic from the start' if OWN.keys() & others.keys() else ''}. "
    )
    return (
        f"Each is trained for so many minutes of one core's computing ({minutes:g} are wanted), alike: speech of "
        f"`speech/train` and `speech/single_speaker`, noise of `noise/train`, batches of {BATCH} times {SECONDS:g} s, "
        "the losses and stages of its paper (stages share the time equally). `steps` are those of the last stage. The "
        "three systems with a critic correct their input, have 8 to 128 channels, learn ten times as fast as printed "
        f"from {EASY_SNR_DB[0]:g} to {EASY_SNR_DB[1]:g} dB, and half of the time without the critic. "
        f"{older if others else ''}Mean and half of the 95 % bootstrap interval over pairs; the papers' STOI is in % "
        f"but for [004]'s; {'; '.join(machines)}."
    )


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of systems; default: all that fit into the time")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="whose file and documents are written")
    asked = parser.parse_intermixed_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    path, known = asked.repository / ROWS, systems()
    if unknown := sorted(set(asked.names) - known.keys()):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(known)}")
    fit = [name for name, row in known.items() if expected_steps(row, asked.minutes) >= LEAST_STEPS]
    for name in [] if asked.report else asked.names or fit:
        if read_rows(path)[1].get(name, {}).get("minutes") != asked.minutes:
            print("training", name, flush=True)
            make_row(name, asked.runs, asked.minutes, path)
            write_section("results", section(path, asked.minutes), asked.repository)
    if asked.report:
        write_section("results", section(path, asked.minutes), asked.repository)


if __name__ == "__main__":
    main()
