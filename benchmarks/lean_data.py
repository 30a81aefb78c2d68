"""What `lean` is trained on: recordings decoded once to 16 kHz, and the speech cleaned once by a shipped enhancer.

usage: python benchmarks/lean_data.py DATA OUT [PART PARTS]
  DATA/speech/{train,many_16k,single_speaker,dutch_48k,flemish_24k}, DATA/noise_44k/train/CLASS
  -> OUT/speech/FOLDER, OUT/references/FOLDER (hours on one core), OUT/noise/CLASS; what is there is left as it is

A training of 24,000 steps decodes nothing then, and every utterance of a speaker of many_16k has the speaker's name in
front, by which speakers are held out whole. PART of PARTS divides the work among processes. Then:

  clean-corpus train-enhancer lean --speech OUT/speech --noise OUT/noise --out RUN --set mix.references=OUT/references
    --set 'mix.speech_shares={train: 0.45, many_16k: 0.28, single_speaker: 0.11, dutch_48k: 0.08, flemish_24k: 0.08}'
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

import enhancers
from enhancers.mixing import FULL_SCALE, SUFFIXES
from pipeline.synthetic import Audio

RATE = 16000
VOICES = ("train", "many_16k", "single_speaker", "dutch_48k", "flemish_24k")  # never those that anything is judged by
CLEANER = "default"


def recordings(data: Path) -> Iterator[tuple[Path, Path]]:
    """Each recording and where it goes."""
    for voice in VOICES:
        for path in sorted(p for p in (data / "speech" / voice).rglob("*") if p.suffix in SUFFIXES):
            name = f"{path.parent.name}-{path.stem}" if voice == "many_16k" else path.stem
            yield path, Path("speech", voice, f"{name}.wav")
    for path in sorted((data / "noise_44k" / "train").rglob("*.ogg")):
        yield path, Path("noise", path.parent.name, f"{path.stem}.wav")


def write(path: Path, samples: Audio) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    soundfile.write(new, np.round(samples.clip(-1, 1) * FULL_SCALE).astype(np.int16), RATE, format="WAV")
    os.replace(new, path)


def decoded(path: Path) -> Audio:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(1), rate, RATE)


def main(data: Path, out: Path, part: int = 0, parts: int = 1) -> None:
    mine = list(recordings(data))[part::parts]
    for path, to in mine:
        if not (out / to).exists():
            write(out / to, decoded(path))
    enhancer = enhancers.load(CLEANER)
    for _, to in mine:
        cleaner = out / "references" / Path(*to.parts[1:])
        if to.parts[0] == "speech" and not cleaner.exists():
            noisy = torch.from_numpy(decoded(out / to))[None]
            write(cleaner, enhancer(noisy, torch.tensor([noisy.shape[1]]))[0].numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
