"""Prepare the training data of `full-band`: the 48 kHz recordings that benchmarks/pairs48.py does not score.

usage: python benchmarks/full_band_data.py DATA OUT
  DATA/speech/{english_48k,dutch_48k,flemish_24k} -> links below OUT/speech/FOLDER

Then:

  clean-corpus train-enhancer full-band --speech OUT/speech --noise DATA/noise_44k/train --out RUN
    --set 'mix.speech_shares={english_48k: 0.6, dutch_48k: 0.25, flemish_24k: 0.15}'
"""

import hashlib
import sys
from pathlib import Path

from clean_corpus.enhancers.training.recordings import SUFFIXES

VOICES = ("english_48k", "dutch_48k", "flemish_24k")
HELD_OUT = 10  # one utterance of so many is scored and never learnt


def is_held_out(path: Path) -> bool:
    """Return whether an utterance is left for the pairs that are scored, by its name."""
    return int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % HELD_OUT == 0


def recordings(data: Path, voice: str) -> list[Path]:
    """Return the recordings of a voice in the order of their names."""
    return sorted(p for p in (data / "speech" / voice).rglob("*") if p.suffix in SUFFIXES)


def main(data: Path, out: Path) -> None:
    """Link what may be learnt."""
    for voice in VOICES:
        folder = out / "speech" / voice
        folder.mkdir(parents=True, exist_ok=True)
        for path in recordings(data, voice):
            link = folder / path.name
            if not is_held_out(path) and not link.exists():
                link.symlink_to(path.resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
