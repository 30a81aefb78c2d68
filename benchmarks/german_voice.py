"""Train a small WaveNet on one voice, killed once on the way, and score its copies of held-out utterances.

usage: python benchmarks/german_voice.py WORK [--minutes N] [--ship]      continues an earlier call in WORK; writes the
  section `voice` of the documents, and WORK/spectrograms with recording and copy of ten utterances; with --ship, copies
  the weights into vocoder/weights
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from documents import table, write_section
from environment import COMMAND, DATA, machine
from voice_shards import RATE, levelled, write_shards

from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.report import plots
from clean_corpus.pipeline.training import recording_list
from clean_corpus.vocoder.checkpoint import WEIGHTS

TEST = 20
CONFIG = Path(__file__).parent / "german_voice.yaml"
FACTS = Path(__file__).parent / "german_voice.json"  # known failures, for the card


def prepare(work: Path) -> None:
    """Write WORK/shards with the voice at the corpus's level, and WORK/test with TEST other utterances."""
    paths = sorted((DATA / "speech" / "single_speaker").glob("*.flac"))
    test = held_out(paths)
    (work / "test").mkdir(parents=True, exist_ok=True)
    for path in sorted(test):
        encode.write_wav(work / "test" / f"{path.stem}.wav", levelled(read(path)), RATE)
    training = [path for path in paths if path not in test]
    about = {"speaker": "single_speaker"}
    write_shards(work, "shards", [path.stem for path in training], map(read, training), [about] * len(training))


def held_out(paths: Sequence[Path]) -> set[Path]:
    """Return the recordings, of all in the order of their names, that the training never hears."""
    return set(paths[:: len(paths) // TEST][:TEST])


def read(path: Path) -> np.ndarray:
    return decode.decode(path.read_bytes())[0]


def train(work: Path, minutes: float) -> None:
    """Train for half of the time, kill the process, and continue from the last checkpoint."""
    command = [COMMAND, "train-vocoder", work / "shards", "--out", work / "voice", "--config", CONFIG]
    command += ["--budget", minutes]
    process = subprocess.Popen([str(part) for part in command])
    if not (work / "killed").exists():
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < 30 * minutes:
            time.sleep(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (work / "killed").touch()
        process = subprocess.Popen([str(part) for part in command])
    if process.wait():
        raise SystemExit(process.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--ship", action="store_true")
    asked = parser.parse_args()
    work = asked.work
    if not (work / "prepared").exists():
        shutil.rmtree(work / "test", ignore_errors=True)
        prepare(work)
        (work / "prepared").touch()
    if not (work / "voice" / "best.json").exists():
        train(work, asked.minutes)
    copies = work / "copies"
    began = time.perf_counter()
    speak = [COMMAND, "vocode", work / "test", "--checkpoint", work / "voice", "--out", copies, "--score"]
    subprocess.run([str(part) for part in speak], check=True, env=os.environ | {"COLUMNS": "120"})
    took = time.perf_counter() - began
    draw_spectrograms(work)
    card = json.loads((work / "voice" / "best.json").read_text())
    rows = list(csv.DictReader((copies / "scores.csv").open()))
    names = [name for name in rows[0] if name != "file"]
    values = {name: np.array([float(row[name]) for row in rows if row[name]]) for name in names}
    lines = [[name, f"{v.mean():.3g}", f"{v.min():.3g}", f"{v.max():.3g}"] for name, v in values.items()]
    text = (
        f"{card['parameters']:,} parameters, {card['steps']} updates in {asked.minutes:g} minutes with a SIGKILL on "
        f"the way; validation {card['best_validation_nll_nats']} nats per sample. Copies of {len(rows)} held-out "
        f"utterances, spoken and scored in {took:.0f} s. {machine()}."
    )
    text += f"\n\n{table(['measure', 'mean', 'least', 'most'], lines)}"
    write_section("voice", text)
    if asked.ship:
        ship(work / "voice", {name: round(float(v.mean()), 3) for name, v in values.items()})


def ship(voice: Path, scores: dict[str, float]) -> None:
    """Copy the weights to vocoder/weights/german-voice, and write their card with data, licence and scores."""
    target = WEIGHTS / "german-voice.safetensors"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(voice / "best.safetensors", target)
    target.chmod(0o644)
    shutil.copyfile(recording_list.beside(voice / "best.safetensors"), recording_list.beside(target))
    card = json.loads((voice / "best.json").read_text()) | {
        "data": [{"name": "speech/single_speaker", "source": "600 utterances of one German voice", "licence": "CC0"}],
        "licence": "Apache-2.0",
        "copies_of_held_out_utterances": scores,
        "trained_on": machine(),
    }
    card.update(json.loads(FACTS.read_text()) if FACTS.exists() else {})
    target.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


def draw_spectrograms(work: Path) -> None:
    """Draw recording and copy on one scale, for the first ten utterances."""
    (work / "spectrograms").mkdir(exist_ok=True)
    for path in sorted((work / "test").glob("*.wav"))[:10]:
        powers = [plots.power_spectrogram(read(p)) for p in (path, work / "copies" / path.name)]
        loudest = max(float(power.max()) for power in powers)
        for name, power in zip(("recording", "copy"), powers, strict=True):
            plots.write_spectrogram(work / "spectrograms" / f"{path.stem}-{name}.png", power, loudest)


if __name__ == "__main__":
    main()
