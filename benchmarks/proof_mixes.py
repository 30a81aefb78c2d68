"""Recordings of the proof: a voice that no 16 kHz network of ours has heard, in noise and rooms that none has heard.

The voice is speech/english_48k, at 16 kHz. Most noise is of noise_44k/dev, the fold of ESC-10 that no training takes;
the rest is the generated tone of quiet rooms. Some utterances stand in a simulated room. Rooms and tones are drawn with
a seed that no training has. Utterance i is a function of (SEED, i) alone, so that fewer utterances are a part of more.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from environment import DATA
from mixes48 import without_silence
from scipy.signal import fftconvolve

from clean_corpus.pipeline.audio import decode, encode, synthetic
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.files import write_whole
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training import recording_list

RATE, WIDE = 16000, 48000
SEED = 240_024
SNR_DB = (5.0, 25.0)
UTTERANCES = 400
TONE_SHARE = 0.3  # of utterances whose noise is the tone of a quiet room
ROOM_SHARE = 0.3  # of utterances that stand in a room, with their noise in another place of it
RT60_S = (0.1, 0.4)
ROOMS = 40
PEAK = 0.95
TONE = "room tone"


class Noise(NamedTuple):
    """A recording of noise without its silence, and its digests as lists of recordings have them."""

    samples: Audio
    digests: str


def voice(data: Path = DATA) -> list[Path]:
    """Return the recordings of the held-out voice in the order of their names."""
    return sorted((data / "speech" / "english_48k" / "wavs").glob("*.ogg"))


def texts(data: Path = DATA) -> dict[str, str]:
    """Return the text of each recording of the voice by its name."""
    lines = (data / "speech" / "english_48k" / "metadata.csv").read_text().splitlines()
    return dict(line.split("|", 1) for line in lines if "|" in line)


def chosen(paths: Sequence[Path], count: int) -> list[Path]:
    """Return so many recordings, evenly over all.

    Raises: SystemExit if there are fewer.
    """
    if not 0 < count <= len(paths):
        raise SystemExit(f"--utterances {count}: the voice has {len(paths)}; set CLEAN_CORPUS_DATA, or ask for fewer")
    return [paths[i * len(paths) // count] for i in range(count)]


def noises(data: Path = DATA) -> dict[str, list[Noise]]:
    """Return the noise that no training has heard, by its class, at RATE."""
    found: dict[str, list[Noise]] = {}
    for path in sorted((data / "noise_44k" / "dev").rglob("*.ogg")):
        encoded = path.read_bytes()
        x, rate = decode.decode(encoded, mix=True)
        samples = resample(without_silence(resample(x, rate, WIDE)), WIDE, RATE)
        found.setdefault(path.parent.name, []).append(Noise(samples, recording_list.digests(encoded).text))
    return found


@cache
def room(number: int) -> Audio:
    """Return the impulse response of a simulated room; the direct sound is its first sample."""
    rng = np.random.default_rng((SEED, 1, number))
    return synthetic.room_impulse_response(rng, sample_rate=RATE, rt60_s=rng.uniform(*RT60_S))


def mixed(
    index: int, clean: Audio, noise_of: dict[str, list[Noise]], snr_range_db: tuple[float, float] = SNR_DB
) -> tuple[Audio, Audio, dict[str, Any]]:
    """Return utterance `index` noisy and as it is, under one gain, and what was mixed.

    The SNR is that of the whole utterance, between what a microphone hears of the voice and of the noise.
    Shapes: clean (N,) at RATE -> (N,), (N,), sample-aligned.
    """
    rng = np.random.default_rng((SEED, 2, index))
    snr_db = round(float(rng.uniform(*snr_range_db)), 1)
    kind, from_what = TONE, []
    if rng.random() < TONE_SHARE:
        noise = synthetic.room_tone(rng, len(clean), sample_rate=RATE)
    else:
        kind = sorted(noise_of)[rng.integers(len(noise_of))]
        taken = noise_of[kind][rng.integers(len(noise_of[kind]))]
        noise = np.resize(np.roll(taken.samples, -int(rng.integers(len(taken.samples)))), len(clean))
        from_what = [taken.digests]
    heard, is_in_room = clean, bool(rng.random() < ROOM_SHARE)
    if is_in_room:
        first, second = rng.integers(ROOMS, size=2)
        heard, noise = (fftconvolve(x, room(int(i)))[: len(x)] for x, i in ((clean, first), (noise, second)))
    noisy = synthetic.mix_at_snr(heard.astype(np.float32), noise.astype(np.float32), snr_db)
    gain = np.float32(min(1.0, PEAK / float(np.abs(noisy).max()), PEAK / float(np.abs(clean).max())))
    about = {"snr_db": snr_db, "noise": kind, "in_room": is_in_room, recording_list.MIXED_FROM: from_what}
    return noisy * gain, clean * gain, about


def write_mixes(work: Path, count: int, snr_range_db: tuple[float, float], data: Path = DATA) -> dict[str, Any]:
    """Write WORK/noisy and WORK/voice, each a corpus with texts, and last WORK/mixes.json; return what that says.

    Mixes that are there are kept.
    Raises: SystemExit if they are of other utterances or SNRs.
    """
    path, asked = work / "mixes.json", {"utterances": count, "snr_range_db": list(snr_range_db), "seed": SEED}
    if path.exists():
        there = json.loads(path.read_text())
        for name, value in asked.items():
            if there[name] != value:
                raise SystemExit(f"{path}: {name} is {there[name]}, asked for is {value}; take another WORK")
        return there
    lines, mixes = [], {}
    for name, (noisy, clean, about), text in _utterances(count, snr_range_db, data):
        for folder, x in (("noisy", noisy), ("voice", clean)):
            (work / folder / "wavs").mkdir(parents=True, exist_ok=True)
            encode.write_wav(work / folder / "wavs" / f"{name}.wav", x, RATE)
        mixes[name] = about
        lines.append(f"{name}|{text}\n")
    for folder in ("noisy", "voice"):
        (work / folder / "metadata.csv").write_text("".join(lines))
    found = asked | {"mixes": mixes}
    write_whole(path, json.dumps(found, indent=1).encode())
    return found


def _utterances(
    count: int, snr_range_db: tuple[float, float], data: Path
) -> Iterator[tuple[str, tuple[Audio, Audio, dict[str, Any]], str]]:
    """Yield name, signals with what was mixed, and text of each utterance."""
    paths, noise_of, said = voice(data), noises(data), texts(data)
    for path in chosen(paths, count):
        encoded = path.read_bytes()
        x, rate = decode.decode(encoded, mix=True)
        noisy, clean, about = mixed(paths.index(path), resample(x, rate, RATE), noise_of, snr_range_db)
        about[recording_list.MIXED_FROM].append(recording_list.digests(encoded).text)
        yield path.stem, (noisy, clean, about), said[path.stem]
