"""Prepare the training data of `lean`: decode recordings once to 16 kHz and clean the speech by a shipped enhancer.

usage: python benchmarks/lean_data.py DATA OUT [PART PARTS]
  DATA/speech/{train,many_16k,single_speaker,dutch_48k,flemish_24k}, DATA/noise_44k/train/CLASS
  -> OUT/speech/FOLDER, OUT/references/FOLDER (hours on one core), OUT/noise/CLASS; existing files are kept

A training of 24,000 steps then decodes no compressed file. Names of utterances of many_16k begin with their speaker,
so that speakers are held out whole. PART of PARTS divides the work among processes. Then:

  clean-corpus train-enhancer lean --speech OUT/speech --noise OUT/noise --out RUN --set mix.references=OUT/references
    --set 'mix.speech_shares={train: 0.45, many_16k: 0.28, single_speaker: 0.11, dutch_48k: 0.08, flemish_24k: 0.08}'
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import soundfile
import soxr
import torch

from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.training.recordings import SUFFIXES, to_int16
from clean_corpus.pipeline.core.types import Audio

RATE = 16000
VOICES = ("train", "many_16k", "single_speaker", "dutch_48k", "flemish_24k")  # none that a benchmark scores
CLEANER = "default"


def recordings(data: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each recording and the path to write it to, below the output folder."""
    for voice in VOICES:
        for path in sorted(p for p in (data / "speech" / voice).rglob("*") if p.suffix in SUFFIXES):
            name = f"{path.parent.name}-{path.stem}" if voice == "many_16k" else path.stem
            yield path, Path("speech", voice, f"{name}.wav")
    for path in sorted((data / "noise_44k" / "train").rglob("*.ogg")):
        yield path, Path("noise", path.parent.name, f"{path.stem}.wav")


def write(path: Path, samples: Audio) -> None:
    """Write a 16-bit WAV that exists whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    soundfile.write(new, to_int16(samples), RATE, format="WAV")
    os.replace(new, path)


def decode(path: Path) -> Audio:
    """Return the mean of a file's channels at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(1), rate, RATE)


def main(data: Path, out: Path, part: int = 0, parts: int = 1) -> None:
    """Write what is missing of one part of the data."""
    mine = list(recordings(data))[part::parts]
    for path, to in mine:
        if not (out / to).exists():
            write(out / to, decode(path))
    enhancer = load_enhancer(CLEANER)
    for _, to in mine:
        reference = out / "references" / Path(*to.parts[1:])
        if to.parts[0] == "speech" and not reference.exists():
            noisy = torch.from_numpy(decode(out / to))[None]
            write(reference, enhancer(noisy, torch.tensor([noisy.shape[1]]))[0].numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
