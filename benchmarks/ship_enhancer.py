"""Copy the result of a training into enhancers/weights: float16 weights and a card with data, licences and steps.

usage: python benchmarks/ship_enhancer.py RUN NAME [--about FACTS.json]      FACTS is merged into the card;
then benchmarks/pairs.py adds the scores and, where the training heard decoded copies, benchmarks/training_recordings.py
lists the recordings they were made of
"""

import argparse
import json
from pathlib import Path

from environment import machine
from safetensors.torch import load_file, save

from clean_corpus.enhancers import checkpoints
from clean_corpus.pipeline.core.files import write_whole
from clean_corpus.pipeline.training import recording_list

DATA = [
    {"name": "speech/train", "source": "LibriSpeech train-clean-100, one utterance a speaker", "licence": "CC BY 4.0"},
    {"name": "speech/single_speaker", "source": "620 utterances of one German voice (rhasspy)", "licence": "CC0"},
    {"name": "noise/train", "source": "ESC-10 (ESC-50 dataset, K. J. Piczak), folds 1-3", "licence": "CC BY 3.0"},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", help="what users call the weights")
    parser.add_argument("--about", type=Path)
    arguments = parser.parse_args()
    card = json.loads((arguments.run / "best.json").read_text()) | {"name": arguments.name}
    target = checkpoints.WEIGHTS / f"{arguments.name}.safetensors"
    checkpoints.WEIGHTS.mkdir(exist_ok=True)
    weights = load_file(arguments.run / "best.safetensors")
    write_whole(target, save({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}))
    recordings = recording_list.beside(arguments.run / "best.safetensors")
    write_whole(recording_list.beside(target), recordings.read_bytes())
    card |= {
        "data": DATA,
        "licence": "Apache-2.0; trained on the data listed, whose authors are to be named",
        "storage": "float16",
        "trained_on": machine(),
    }
    card |= json.loads(arguments.about.read_text()) if arguments.about else {}
    target.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
