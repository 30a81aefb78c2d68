"""What a vocoder needs to be shipped: scores of its copies, and a card with its data, licence and failures."""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from environment import COMMAND, REPOSITORY, machine
from safetensors.torch import load_file, save_file

from clean_corpus.pipeline.training import recording_list
from clean_corpus.vocoder.checkpoint import WEIGHTS


def speak(recordings: Path, vocoder: str | Path, copies: Path, *options: object) -> list[dict[str, str]]:
    """Copy recordings, unless that is done; return the scores of each copy."""
    if not (copies / "scores.csv").exists():
        command = [COMMAND, "vocode", recordings, "--checkpoint", vocoder, "--out", copies, "--score", *options]
        subprocess.run([str(part) for part in command], check=True, env=os.environ | {"COLUMNS": "120"})
    return list(csv.DictReader((copies / "scores.csv").open()))


def halve(trained: Path) -> None:
    """Store the weights of a training as float16, in place, so that what is scored is what is shipped."""
    path = trained / "best.safetensors"
    save_file({name: x.half() if x.is_floating_point() else x for name, x in load_file(path).items()}, path)


def values(rows: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """Return the scores of all copies that have one, by the name of the measure."""
    names = [name for name in rows[0] if name != "file"]
    return {name: np.array([float(row[name]) for row in rows if row[name]]) for name in names}


def ship(name: str, trained: Path, data: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, str]]) -> None:
    """Copy the weights of a training to vocoder/weights, and write their card.

    benchmarks/NAME.json holds what the card says beyond data, licence and scores.
    """
    target, facts = WEIGHTS / f"{name}.safetensors", Path(__file__).parent / f"{name}.json"
    shutil.copyfile(trained / "best.safetensors", target)
    target.chmod(0o644)
    shutil.copyfile(recording_list.beside(trained / "best.safetensors"), recording_list.beside(target))
    card = {"trained_on": machine()} | json.loads((trained / "best.json").read_text())
    card |= {
        "data": list(data),
        "licence": "Apache-2.0",
        "storage": "float16",
        "copies_of_held_out_utterances": {name: round(float(v.mean()), 3) for name, v in values(rows).items()},
    }
    card.update(json.loads(facts.read_text()) if facts.exists() else {})
    text = json.dumps(card, indent=2).replace(f"{REPOSITORY}/", "")
    target.with_suffix(".json").write_text(text + "\n")
