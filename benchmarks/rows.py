"""Every system of the table on real recordings: a loss that falls, a training that resumes, weights that enhance.

usage: python benchmarks/rows.py [NAME ...]     writes the section `rows` of docs/RESULTS.md if no name is given
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import soundfile
import torch
from lightning.pytorch import seed_everything
from readme import COMMAND, DATA, machine, put, table
from safetensors.torch import load_file

from enhancers.steps import Supervised
from enhancers.table import ENHANCERS
from enhancers.train import TrainConfig, divided_pairs, train

STEPS, EPOCH = 20, 5  # a checkpoint after each epoch
SPEECH, NOISE = [DATA / "speech" / "dev"], [DATA / "noise" / "dev"]
CONFIG = TrainConfig.model_validate(
    {
        "steps": STEPS, "steps_per_epoch": EPOCH, "batch_size": 4, "lr_schedule": "constant", "warmup_steps": 0,
        "validation_pairs": 8, "pesq_pairs": 0, "ema_decay": None, "workers": 0,
        "mix": {"seconds": 2.0, "room_share": 0},
    }
)  # fmt: skip


class Stopped(Exception):
    """What ends the first half of a training."""


def validation_loss(name: str, weights: Path | None) -> float:
    """Loss of the last stage on the held-out pairs; without weights, of the network that training begins with."""
    seed_everything(CONFIG.seed, verbose=False)
    row = ENHANCERS[name]
    network = row.build()
    if weights:
        network.load_state_dict(load_file(weights))
    _, validation = divided_pairs(SPEECH, NOISE, CONFIG, row.sample_rate)
    module = Supervised(row, row.schedule[-1], network.eval(), CONFIG)
    total = 0.0
    with torch.no_grad():
        for index in range(len(validation)):
            noisy, clean = (torch.as_tensor(x)[None] for x in validation[index])
            estimate, reference = module.stage.target(row.domain.forward(network, noisy, clean))
            total += float(sum(module.terms(estimate, reference).values()))
    return total / len(validation)


def check(name: str, out: Path) -> list[object]:
    """One line of the table.

    Raises: AssertionError if the loss did not fall, the training did not resume, or the recording was not enhanced.
    """
    lines: list[str] = []

    def stop_at_half(line: str) -> None:
        lines.append(line)
        if f"step {STEPS // 2}/" in line:
            raise Stopped

    began = time.perf_counter()
    with suppress(Stopped):
        train(name, SPEECH, NOISE, out, CONFIG, stop_at_half)
    first = len(lines)
    weights = train(name, SPEECH, NOISE, out, CONFIG, lines.append)
    took = time.perf_counter() - began
    stage = ENHANCERS[name].schedule[0].name
    assert lines[first].startswith(f"{stage}: step {STEPS // 2}/"), f"{name} began anew: {lines}"
    before, after = validation_loss(name, None), validation_loss(name, weights)
    assert after < before, f"{name}: loss {before} -> {after}"
    recording = next(iter(sorted(DATA.glob("crowd/*/*/*.wav"))))
    single = out / "in"
    single.mkdir()
    (single / recording.name).write_bytes(recording.read_bytes())
    done = subprocess.run([COMMAND, "enhance", single, out / "enhanced", "--enhancer", weights], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    made = soundfile.info(out / "enhanced" / f"{recording.stem}.wav")
    assert abs(made.duration - soundfile.info(recording).duration) < 1e-3
    stages = len(ENHANCERS[name].schedule)
    parameters = json.loads(weights.with_suffix(".json").read_text())["parameters"]
    return [name, f"{parameters:,}", stages, f"{took:.0f}", f"{before:.4g}", f"{after:.4g}"]


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = []
    for name in sys.argv[1:] or ENHANCERS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(check(name, Path(folder)))
        print(*rows[-1], flush=True)
    head = ["system", "parameters", "stages", "s in all", "loss before", "loss after"]
    if not sys.argv[1:]:
        put("rows", f"{table(head, rows)}\n\nBatches of 4 times 2 s; {machine()}.", "docs/RESULTS.md")


if __name__ == "__main__":
    main()
