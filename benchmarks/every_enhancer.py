"""Check every system of the table on real recordings: its loss falls, its training resumes, its weights enhance.

usage: python benchmarks/every_enhancer.py RUNS [NAME ...]     checks the systems without a line in RUNS, those named or
  all; writes the section `rows` of the documents as soon as RUNS has every line. Two calls may share the names.
"""

import argparse
import json
import logging
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import soundfile
import torch
from documents import table, write_section
from environment import COMMAND, DATA, machine, own_children
from lightning.pytorch import seed_everything
from safetensors.torch import load_file

from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.enhancers.training.steps import Supervised
from clean_corpus.enhancers.training.train import divided_pairs, train
from clean_corpus.pipeline.training.loop import checkpoint

STEPS, EPOCH = 20, 5  # a checkpoint after each epoch
SPEECH, NOISE = [DATA / "speech" / "dev"], [DATA / "noise" / "dev"]
CONFIG = TrainConfig.model_validate(
    {
        "steps": STEPS, "steps_per_epoch": EPOCH, "batch_size": 4, "lr_schedule": "constant", "warmup_steps": 0,
        "learning_rate": 3e-4, "validation_pairs": 8, "pesq_pairs": 0, "ema_decay": None, "workers": 0,
        "mix": {"seconds": 1.024, "snr_set_db": [0], "room_share": 0, "clean_share": 0},
    }
)  # fmt: skip
OWN_RATES = {"segan": 5e-6}  # 3e-4, and the 5e-5 of its recipe, throw its weights about in the first twenty steps


class Stopped(Exception):
    """Raised to end the first half of a training."""


def validation_loss(name: str, state: dict[str, torch.Tensor] | None) -> float:
    """Return the loss of the last stage on held-out pairs, for some weights or for those that training begins with.

    As in training, BatchNorm takes the statistics of the batch, because its running ones say little after twenty steps.
    """
    seed_everything(CONFIG.seed, verbose=False)
    row = ENHANCERS[name]
    network = row.build()
    if state:
        network.load_state_dict(state)
    _, validation = divided_pairs(SPEECH, NOISE, CONFIG, row.sample_rate)
    module = Supervised(row, row.schedule[-1], network, CONFIG)
    pairs = [validation[i] for i in range(len(validation))]
    noisy, clean = (torch.stack([torch.as_tensor(pair[i]) for pair in pairs]) for i in (0, 1))
    seed_everything(CONFIG.seed, verbose=False)  # of dropout and latents
    with torch.no_grad():
        estimate, reference = module.stage.target(row.domain.forward(network.train(), noisy, clean))
        return float(sum(module.terms(estimate, reference).values()))


def check(name: str, out: Path) -> list[object]:
    """Train, resume and enhance with one system; return its line of the table.

    Raises: AssertionError if the loss did not fall, the training did not resume, or the recording was not enhanced.
    """
    lines: list[str] = []
    config = CONFIG.model_copy(update={"learning_rate": OWN_RATES.get(name, CONFIG.learning_rate)})

    def stop_at_half(line: str) -> None:
        lines.append(line)
        if f"step {STEPS // 2}/" in line:
            raise Stopped

    began = time.perf_counter()
    with suppress(Stopped):
        train(name, SPEECH, NOISE, out, config, stop_at_half)
    first = len(lines)
    weights = train(name, SPEECH, NOISE, out, config, lines.append)
    took = time.perf_counter() - began
    stage = ENHANCERS[name].schedule[0].name
    assert lines[first].startswith(f"{stage}: step {STEPS // 2}/"), f"{name} began anew: {lines}"
    stages = len(ENHANCERS[name].schedule)
    folders = sorted((out / "checkpoints").iterdir())
    saved = checkpoint(folders[-1] / "last.ckpt", EPOCH)["state_dict"]
    last = {k.removeprefix("network."): v for k, v in saved.items() if k.startswith("network.")}
    begun = load_file(folders[-2] / "best.safetensors") if stages > 1 else None
    before, after = validation_loss(name, begun), validation_loss(name, last)
    assert after < before, f"{name}: loss {before} -> {after}"
    recording = next(iter(sorted(DATA.glob("crowd/*/*/*.wav"))))
    single = out / "in"
    single.mkdir()
    (single / recording.name).write_bytes(recording.read_bytes())
    command = [COMMAND, "enhance", single, out / "enhanced", "--enhancer", weights]
    ended = subprocess.run(command, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    made = soundfile.info(out / "enhanced" / f"{recording.stem}.wav")
    assert abs(made.duration - soundfile.info(recording).duration) < 1e-3
    parameters = json.loads(weights.with_suffix(".json").read_text())["parameters"]
    return [name, f"{parameters:,}", stages, f"{took:.0f}", f"{before:.4g}", f"{after:.4g}"]


def main() -> None:
    own_children()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder with a line of the table for each system")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of systems; default: all")
    asked = parser.parse_args()
    runs, names = asked.runs, asked.names or list(ENHANCERS)
    runs.mkdir(parents=True, exist_ok=True)
    lines = {name: runs / f"{name}.json" for name in ENHANCERS}
    for name in names:
        if not lines[name].exists():
            with tempfile.TemporaryDirectory() as folder:
                line = check(name, Path(folder))
            lines[name].write_text(json.dumps(line))
            print(*line, flush=True)
    if all(path.exists() for path in lines.values()):
        head = ["system", "parameters", "stages", "s in all", "loss before", "loss after"]
        rows = [json.loads(path.read_text()) for path in lines.values()]
        write_section(
            "rows",
            f"{table(head, rows)}\n\nBatches of 4 times 1 s at 0 dB, a learning rate of 3e-4 "
            f"({', '.join(f'{name}: {rate:g}' for name, rate in OWN_RATES.items())}), one core each; {machine()}.",
        )


if __name__ == "__main__":
    main()
