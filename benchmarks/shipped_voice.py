"""Train a small WaveNet on one voice, killed once on the way, and score its copies of held-out utterances.

usage: python benchmarks/shipped_voice.py VOICE WORK [--minutes N] [--ship]      continues an earlier call in WORK

VOICE is german-voice or english-voice, trained as benchmarks/VOICE.yaml says, for its updates or --minutes. Writes the
section of the voice in the documents, and WORK/spectrograms with recording and copy of ten utterances; with --ship,
copies the weights into vocoder/weights, with what benchmarks/VOICE.json says of them in their card.
"""

import argparse
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import ship_vocoder
import wavenet_base
from documents import table, write_section
from environment import COMMAND, DATA, machine, own_children
from voice_shards import RATE, levelled, write_shards

from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.report import plots
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.training.split import is_held_out

TEST = 20
STOI_LOSS = 0.02
TEMPERATURES = (1.0, 0.6, 0.4, 0.3, 0.2)
HERE = Path(__file__).parent


class Voice(NamedTuple):
    """Where the recordings of a voice lie below the data folder, and what the card says of them."""

    folder: str
    files: str
    source: str
    licence: str

    @property
    def speaker(self) -> str:
        return Path(self.folder).name


VOICES = {
    "german-voice": Voice("speech/single_speaker", "*.flac", "600 utterances of one German voice", "CC0"),
    "english-voice": Voice("speech/english_48k", "wavs/*.ogg", "980 utterances of one English voice, at 16 kHz", "CC0"),
}


def prepare(work: Path, voice: Voice) -> None:
    """Write WORK/shards with the voice at the corpus's level, and WORK/test with TEST other utterances.

    Raises: SystemExit if there are no recordings.
    """
    paths = sorted((DATA / voice.folder).glob(voice.files))
    if not paths:
        raise SystemExit(f"{DATA / voice.folder}: no recordings; set CLEAN_CORPUS_DATA to the data folder")
    test = held_out(paths)
    (work / "test").mkdir(parents=True, exist_ok=True)
    for path in sorted(test):
        encode.write_wav(work / "test" / f"{path.stem}.wav", levelled(read(path)), RATE)
    training = [path for path in paths if path not in test]
    about = [{"speaker": voice.speaker, "source_sha256": sha256_file(path)} for path in training]
    write_shards(work, "shards", [path.stem for path in training], map(read, training), about)


def held_out(paths: Sequence[Path]) -> set[Path]:
    """Return the recordings, of all in the order of their names, that the training never hears."""
    return set(paths[:: len(paths) // TEST][:TEST])


def read(path: Path) -> np.ndarray:
    """Return a recording's samples at RATE."""
    x, rate = decode.decode(path.read_bytes(), mix=True)
    return resample(x, rate, RATE)


def train(work: Path, config: Path, minutes: float | None) -> None:
    """Train, kill the process after its first checkpoint, and continue from that."""
    command = [COMMAND, "train-vocoder", work / "shards", "--out", work / "voice", "--config", config]
    command += [] if minutes is None else ["--budget", minutes]
    process = subprocess.Popen([str(part) for part in command])
    if not (work / "killed").exists():
        while process.poll() is None and not (work / "voice" / "checkpoints" / "last.ckpt").exists():
            time.sleep(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (work / "killed").touch()
        process = subprocess.Popen([str(part) for part in command])
    if process.wait():
        raise SystemExit(process.returncode)


def chosen_temperature(work: Path) -> float:
    """Return the temperature of voiced draws at which the clips that validated sound most natural.

    Where draws are too sharp, a hoarse voice sounds more natural and says less: those that lose STOI_LOSS of the best
    STOI do not count. The held-out utterances that are scored in the end decide nothing.
    Source: DistillMOS and STOI of the copies.
    """
    card = json.loads((work / "voice" / "best.json").read_text())["config"]
    (work / "validation").mkdir(exist_ok=True)
    for shard in sorted((work / "shards").glob("*.tar")):
        for clip in clips(shard):
            if is_held_out(clip, card["validation_share"], card["validation_disjoint"], card["seed"]):
                encode.write_wav(work / "validation" / f"{clip.key}.wav", clip.decode(RATE), RATE)
    found = {}
    for degree in TEMPERATURES:
        rows = ship_vocoder.speak(
            work / "validation", work / "voice", work / f"validation-{degree:g}", "--voiced-temperature", degree
        )
        found[degree] = [float(np.mean([float(row[name]) for row in rows])) for name in ("distillmos", "stoi")]
    print("DistillMOS and STOI of the clips that validated, by temperature:", found)
    return most_natural(found)


def most_natural(scores: Mapping[float, Sequence[float]]) -> float:
    """Return the temperature with the highest DistillMOS of those with enough STOI.

    >>> most_natural({1.0: (1.8, 0.84), 0.6: (2.1, 0.83), 0.2: (2.3, 0.73)})
    0.6
    """
    best_stoi = max(stoi for _, stoi in scores.values())
    return max(scores, key=lambda t: (scores[t][1] > best_stoi - STOI_LOSS, scores[t][0]))


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voice", choices=VOICES)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, help="of training; default: the updates of the configuration")
    parser.add_argument("--ship", action="store_true")
    asked = parser.parse_args()
    work, voice = asked.work, VOICES[asked.voice]
    if not (work / "prepared").exists():
        shutil.rmtree(work / "test", ignore_errors=True)
        prepare(work, voice)
        (work / "prepared").touch()
    if not (work / "voice" / "best.json").exists():
        train(work, HERE / f"{asked.voice}.yaml", asked.minutes)
    ship_vocoder.halve(work / "voice")
    card = json.loads((work / "voice" / "best.json").read_text()) | {"voiced_temperature": chosen_temperature(work)}
    (work / "voice" / "best.json").write_text(json.dumps(card, indent=2) + "\n")
    rows = ship_vocoder.speak(work / "test", work / "voice", work / "copies")
    draw_spectrograms(work)
    lines = [
        [name, f"{v.mean():.3g}", f"{v.min():.3g}", f"{v.max():.3g}"] for name, v in ship_vocoder.values(rows).items()
    ]
    killed = " with a SIGKILL on the way" if (work / "killed").exists() else ""
    text = (
        f"{card['parameters']:,} parameters, {card['steps']} updates{killed}; validation "
        f"{card['best_validation_nll_nats']} nats per sample; temperature of voiced draws "
        f"{card['voiced_temperature']:g}, of {', '.join(f'{t:g}' for t in TEMPERATURES)} that at which the clips that "
        f"validated sound most natural without losing {STOI_LOSS:g} STOI. Copies of {len(rows)} held-out utterances. "
        f"{machine()}."
    )
    text += f"\n\n{table(['measure', 'mean', 'least', 'most'], lines)}"
    write_section(asked.voice.replace("-", "_"), text)
    if asked.ship:
        earlier = wavenet_base.DATA_OF_CARD if "started_from" in card else []
        data = [{"name": voice.folder, "source": voice.source, "licence": voice.licence}, *earlier]
        ship_vocoder.ship(asked.voice, work / "voice", data, rows)


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
