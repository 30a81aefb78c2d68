"""Clean one recording of three hours: it is streamed, so memory must not grow with its length.

usage: python benchmarks/long_recording.py     writes the section `long` of the documents
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from documents import write_section
from environment import COMMAND, DATA, machine, measure, own_children

from clean_corpus.pipeline.audio import synthetic

RATE = 16000
HOURS = 3.0


def write_recording(path: Path) -> None:
    """Write sentences with pauses between them and pink noise 25 dB below, no sentence twice at one speed."""
    rng = np.random.default_rng(0)
    sentences = sorted((DATA / "speech" / "train").glob("*.flac")) + sorted(
        (DATA / "speech" / "single_speaker").glob("*.flac")
    )
    spoken = [(sentence, percent) for percent in (100, 88, 113) for sentence in rng.permutation(sentences)]
    left = round(HOURS * 3600 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for sentence, percent in spoken:
            speech, rate = soundfile.read(sentence, dtype="float32")
            speech = soxr.resample(speech, rate * percent, RATE * 100)
            block = np.concatenate([speech, np.zeros(int(rng.uniform(0.3, 2.5) * RATE), np.float32)])[:left]
            noise = synthetic.coloured_noise(rng, len(block), slope=1.0)
            file.write(block + noise * np.float32(10 ** (-25 / 20) * np.sqrt(np.mean(speech**2))))
            left -= len(block)
            if not left:
                return
    raise ValueError(f"{len(sentences)} sentences below {DATA / 'speech'} are too few for {HOURS:g} hours")


def main() -> None:
    own_children()
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording, output = Path(folder, "in", "long.wav"), Path(folder, "out")
        recording.parent.mkdir()
        write_recording(recording)
        took = measure(COMMAND, "run", recording.parent, output, "--set", "audio.sample_rate=16000")
        run = json.loads((output / "run.json").read_text())
    counts, seconds = run["counts"], run["seconds"]
    write_section(
        "long",
        f"One WAV of {HOURS:g} hours: {counts['in']} utterances = {counts['kept']} kept + {counts['rejected']} rejected"
        f" + {counts['failed']} failed ({seconds['kept'] / 60:.0f} min kept), in {took.wall_s / 60:.1f} min, "
        f"{took.peak_gib:.2f} GiB at the peak (all processes); {machine()}.",
    )


if __name__ == "__main__":
    main()
