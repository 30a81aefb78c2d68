"""Prepare the shards of many speakers that a base of vocoders is trained on, and say the commands that train with it.

usage: python benchmarks/wavenet_base.py WORK [--hours N]      writes WORK/shards; shards that are there are kept
       python benchmarks/wavenet_base.py WORK --ship TEST      copies the weights of WORK/base-with-source into
                                                               vocoder/weights, with the scores of its copies of TEST

speech/train and speech/many_16k below the data folder: 1,277 clips of 368 speakers, 2.1 hours, at 16 kHz and the level
of published clips, in one random order. The voice of the proof, speech/english_48k, is in neither.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import ship_vocoder
import yaml
from environment import COMMAND, DATA, own_children
from voice_shards import PER_SHARD, RATE, write_shards

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.hashing import sha256_file

CONFIG = Path(__file__).parent / "wavenet_base.yaml"
SOURCE_CONFIG = Path(__file__).parent / "wavenet_base_source.yaml"
NAME = "base"
TEMPERATURE = 0.3  # of voiced draws: the one that the proof takes
DATA_OF_CARD = [
    {
        "name": "speech/train",
        "source": "LibriSpeech train-clean-100, one utterance a speaker",
        "licence": "CC BY 4.0",
    },
    {
        "name": "speech/many_16k",
        "source": "speechocean762, 128 adults",
        "licence": "free download for both commercial and non-commercial purposes",
    },
]
FOLDERS = ("train", "many_16k")
SUFFIXES = {".flac", ".ogg", ".wav"}
CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def recordings(data: Path) -> dict[str, tuple[Path, str]]:
    """Return path and speaker of each recording by its key, in an order that mixes speakers and is always the same.

    Raises: SystemExit if a folder holds none.
    """
    found: dict[str, tuple[Path, str]] = {}
    for folder in FOLDERS:
        paths = sorted(path for path in (data / "speech" / folder).rglob("*") if path.suffix in SUFFIXES)
        if not paths:
            raise SystemExit(f"{data / 'speech' / folder}: no recordings; set CLEAN_CORPUS_DATA to the data folder")
        for path in paths:
            speaker = path.stem.split("-")[0] if folder == "train" else path.parent.name
            found[f"{folder}-{speaker}-{path.stem}"] = path, f"{folder}-{speaker}"
    return {key: found[key] for key in sorted(found, key=lambda key: hashlib.sha256(key.encode()).digest())}


def read(path: Path) -> np.ndarray:
    """Return a recording's samples.

    Raises: SystemExit if it has another rate.
    """
    x, rate = decode.decode(path.read_bytes())
    if rate != RATE:
        raise SystemExit(f"{path}: {rate} Hz, expected {RATE}")
    return x


def prepare(work: Path) -> None:
    """Write WORK/shards whole, unless they are there."""
    found = recordings(DATA)
    if len(list((work / "shards").glob("*.tar"))) == -(-len(found) // PER_SHARD):
        return
    clips: Iterator[np.ndarray] = (read(path) for path, _ in found.values())
    about = [{"speaker": speaker, "source_sha256": sha256_file(path)} for path, speaker in found.values()]
    write_shards(work, "shards", list(found), clips, about)
    speakers = {speaker for _, speaker in found.values()}
    print(f"{len(found)} clips of {len(speakers)} speakers: {work / 'shards'}")


def has_bf16() -> bool:
    """Return whether the processor multiplies bfloat16; emulated, it is ten times slower than single precision."""
    return bool(CPU_FLAGS & set(Path("/proc/cpuinfo").read_text().split()))


def commands(work: Path, hours: float | None) -> str:
    """Return the commands that train the base and fine-tune it."""
    config = yaml.safe_load(CONFIG.read_text())
    heard_s = config["batch_size"] * config["frames"] * 0.005  # of each update
    steps = config["steps"] if hours is None else round(3600 * hours / heard_s)
    more = " --set precision=bf16-mixed" if has_bf16() else ""
    base, with_source = work / "base", work / "base-with-source"
    return (
        f"{steps} updates hear {steps * heard_s / 3600:.1f} h; run the same command again after a stop:\n\n"
        f"  {COMMAND} train-vocoder {work / 'shards'} --out {base} --config {CONFIG} "
        f"--set steps={steps}{more}\n\nthen, with a source of harmonics:\n\n"
        f"  {COMMAND} train-vocoder {work / 'shards'} --out {with_source} --config {SOURCE_CONFIG} "
        f"--set start_from={base}{more}\n\nthen, for a voice or for every set of a comparison:\n\n"
        f"  {COMMAND} train-vocoder VOICE/shards --out VOICE --set start_from={with_source} "
        f"--set learning_rate=0.0005 --set steps=2000 --set batch_size=4{more}\n"
        f"  {COMMAND} compare --set raw=... --set enhanced=... --out PROOF "
        f"--setting vocoder.start_from={with_source} --setting vocoder.learning_rate=0.0005 "
        "--setting vocoder.steps=2000"
    )


def ship(work: Path, test: Path) -> None:
    """Ship WORK/base-with-source, with the scores of its copies of a voice that it never heard, recordings in TEST."""
    trained = work / "base-with-source"
    card = json.loads((trained / "best.json").read_text()) | {"voiced_temperature": TEMPERATURE}
    (trained / "best.json").write_text(json.dumps(card, indent=2) + "\n")
    ship_vocoder.halve(trained)
    ship_vocoder.ship(NAME, trained, DATA_OF_CARD, ship_vocoder.speak(test, trained, work / "copies"))


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, help="of speech that the training hears; default: as the configuration")
    parser.add_argument("--ship", type=Path, metavar="TEST", help="recordings of a voice that it never heard")
    asked = parser.parse_args()
    if asked.ship:
        ship(asked.work, asked.ship)
        return
    prepare(asked.work)
    print(commands(asked.work, asked.hours))


if __name__ == "__main__":
    main()
