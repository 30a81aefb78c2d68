"""Write weights from which `lean-causal` starts: those of the shipped `lean`, which sees the future, where they fit.

usage: python benchmarks/lean_causal_start.py FOLDER     writes FOLDER/start.safetensors, for the setting start_from

Recurrences along the frames have more units: the new ones begin small, and nothing hears them yet. Of the filter's taps
the one that saw the future is left out, and older ones move up.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.table import method

SMALL = 0.1  # of the weights that a new network has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    shipped = checkpoints.checkpoint_path("lean")
    found = started(method("lean-causal").build().state_dict(), load_file(shipped))
    save_file(found, folder / "start.safetensors")
    card = json.loads(shipped.with_suffix(".json").read_text()) | {"name": "lean-causal", "method": "lean-causal"}
    (folder / "start.json").write_text(json.dumps(card, indent=2) + "\n")
    shutil.copy(shipped.with_suffix(".recordings.json"), folder / "start.recordings.json")


def started(new: dict[str, Tensor], old: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a new network with those of an old one put in."""
    for name, weights in new.items():
        given = old[name].to(weights.dtype)
        if ".forth." in name:  # (4 H) or (4 H, inputs), a gate after the other
            gates, known = (x.view(4, len(x) // 4, *x.shape[1:]) for x in (weights, given))
            units = known.shape[1]
            if "_hh" in name and weights.dim() > 1:
                gates[:, :units, units:] *= SMALL
                gates[:, :units, :units] = known
            else:
                gates[:, :units] = known
        elif name.endswith("along_out.weight"):
            forwards = given.shape[1] // 2
            weights[:, forwards:] *= SMALL
            weights[:, :forwards] = given[:, :forwards]
        elif name.startswith("filter."):  # three taps of two rows, the newest last
            weights[:2] *= SMALL
            weights[2:] = given[:4]
        else:
            weights.copy_(given)
    return {name: weights.contiguous() for name, weights in new.items()}


if __name__ == "__main__":
    main()
