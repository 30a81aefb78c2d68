"""Enhance recordings of 15 to 25 dB, as paper [004] does: unseen speakers, before and after the shipped weights.

usage: python benchmarks/mild_noise.py [NAME or PATH ...]     without arguments, scores all shipped weights and writes
  the section `mild` of the documents; with names, only prints

Noises are sounds of every kind and, as in that paper, rooms in which nobody speaks. Some of the clean recordings have
more noise of their own than was added. An enhancer that removes it is as far from them as that noise was loud, so those
that are as clean as the paper's, from a studio, have rows of their own.
"""

import argparse
import csv
import itertools
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from documents import table, write_section
from environment import COMMAND, DATA, machine, make_pairs, own_children

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.evaluation import NOISY
from clean_corpus.pipeline.audio.synthetic import mix_at_snr
from clean_corpus.pipeline.audio.voice_activity import WINDOW, speech_mask
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.signal_measures import snr_estimate_db

SNRS_DB = (15, 20, 25)
MIXES = {"noises": "sounds of ten kinds", "rooms": "rooms where nobody speaks"}
LEAST_PAUSE = 20  # windows
MOST_RISE_DB = 3.0  # of a window of a pause over their median: a room, no breath and no door
SHOWN = {"global_snr_db": "global SNR, dB", "segmental_snr_db": "segmental SNR, dB", "pesq_wb": "PESQ wb"}
PAPER_GAIN_DB = (3.3, 2.8, 1.4)
"""Paper [004], WGAN with GLU, global SNR at each of SNRS_DB."""

CLEANER_BY_DB = 10.0  # a recording counts as clean from this much above the highest of SNRS_DB

Means = dict[tuple[str, str, int], float]
"""System, measure, SNR in dB -> mean."""
Scores = list[dict[str, str]]


def pauses() -> list[Audio]:
    """Return the longest pause of every crowd recording that has a steady one, in the order of their names.

    Each comes from another microphone in another room, or from another day; none is digital silence.
    """
    found = []
    for path in sorted((DATA / "crowd").rglob("*.wav")):
        recording, rate = soundfile.read(path, dtype="float32")
        quiet = [not speech for speech in speech_mask(recording, 0.3, sample_rate=rate)]
        runs, start = [], 0
        for is_quiet, run in itertools.groupby(quiet):
            end = start + len(list(run))
            if is_quiet:
                runs.append((end - start - 4, start + 2))  # two windows away from speech on either side
            start = end
        length, first = max(runs, default=(0, 0))
        windows = recording[first * WINDOW :][: length * WINDOW]
        windows = windows[: len(windows) // WINDOW * WINDOW].reshape(-1, WINDOW)
        if len(windows) >= LEAST_PAUSE:
            power = np.square(windows - windows.mean(1, keepdims=True)).mean(1)
            if np.median(power) > 1e-8 and power.max() < np.median(power) * 10 ** (MOST_RISE_DB / 10):
                found.append(windows.reshape(-1))
    return found


def looped(pause: Audio, n_samples: int, *, fade: int = 1600) -> Audio:
    """Repeat a pause, alternately reversed, until it is long enough, with crossfades of equal power.

    Shapes: (N,) -> (n_samples,).
    """
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    track, part = pause - pause.mean(), pause - pause.mean()
    while len(track) < n_samples:
        part = part[::-1]
        seam = track[-fade:] * rise[::-1] + part[:fade] * rise
        track = np.concatenate((track[:-fade], seam, part[fade:]))
    return track[:n_samples]


def write_pair(folder: Path, name: str, noisy: Audio, clean: Audio, rate: int) -> None:
    """Write FOLDER/noisy/NAME and FOLDER/clean/NAME with one gain that keeps both below full scale."""
    level = min(1.0, 0.99 / float(abs(noisy).max()))
    soundfile.write(folder / "noisy" / name, level * noisy, rate)
    soundfile.write(folder / "clean" / name, level * clean, rate)


def mix(root: Path) -> None:
    """Write the fixed pairs of 20 dB with their noise made louder and softer, and the same speech in rooms."""
    make_pairs(root)
    pairs = sorted(path for path in (root / "noisy").glob("*.wav") if path.stem.endswith("20dB"))
    rooms = pauses()
    for number, path in enumerate(pairs):
        (noisy, rate), (clean, _) = (soundfile.read(root / which / path.name) for which in ("noisy", "clean"))
        room = looped(rooms[number * len(rooms) // len(pairs)], len(clean))
        for snr_db in SNRS_DB:
            name = path.name.replace("20dB", f"{snr_db}dB")
            write_pair(root / "noises", name, clean + (noisy - clean) * 10 ** ((20 - snr_db) / 20), clean, rate)
            write_pair(root / "rooms", name, mix_at_snr(clean, room, snr_db), clean, rate)


def scored(names: list[str], root: Path) -> tuple[dict[str, Scores], dict[str, float]]:
    """Return the scores of every clip of each of MIXES before and after, and each utterance's own SNR in dB."""
    for mixed in MIXES:
        for which in ("noisy", "clean"):
            (root / mixed / which).mkdir(parents=True)
    mix(root)
    found = {}
    for mixed in MIXES:
        out = root / "out" / mixed
        subprocess.run([COMMAND, "evaluate", *names, "--pairs", root / mixed, "--out", out], check=True)
        with (out / "scores.csv").open() as file:
            found[mixed] = list(csv.DictReader(file))
    own = {}
    for path in (root / "rooms" / "clean").glob(f"*{SNRS_DB[0]}dB.wav"):
        speech, rate = soundfile.read(path, dtype="float32")
        own[utterance(path.stem)] = snr_estimate_db(speech, speech_mask(speech, 0.3, sample_rate=rate), rate)
    return found, own


def utterance(clip: str) -> str:
    """Return the name of the utterance that a clip was mixed from.

    >>> utterance("1688-142285-0000__rain__20dB")
    '1688-142285-0000'
    """
    return clip.partition("__")[0]


def means(scores: Scores, utterances: set[str]) -> Means:
    """Average each measure of some utterances by system and SNR."""
    values: dict[tuple[str, str, int], list[float]] = {}
    for row in scores:
        if utterance(row["clip"]) in utterances:
            for metric in SHOWN:
                values.setdefault((row["system"], metric, round(float(row["snr_db"]))), []).append(float(row[metric]))
    return {key: float(np.mean(of)) for key, of in values.items()}


def report(found: dict[str, Scores], own_snr_db: dict[str, float]) -> str:
    """Return the table, and what the clean recordings' own noise is."""
    least = max(SNRS_DB) + CLEANER_BY_DB
    clean = {name for name, snr_db in own_snr_db.items() if snr_db >= least}
    groups = {"all": set(own_snr_db), "clean": clean}
    rows = []
    for (mixed, scores), (group, utterances) in itertools.product(found.items(), groups.items()):
        of = means(scores, utterances)
        for system in dict.fromkeys(system for system, *_ in of):
            for metric, about in SHOWN.items():
                values = [of[system, metric, snr_db] for snr_db in SNRS_DB]
                before = [of[NOISY, metric, snr_db] for snr_db in SNRS_DB]
                change = [f" ({v - b:+.2f})" if system != NOISY else "" for v, b in zip(values, before, strict=True)]
                cells = [f"{v:.2f}{c}" for v, c in zip(values, change, strict=True)]
                rows.append([MIXES[mixed], group, system, about, *cells])
    gains = [f"({gain:+.1f})" for gain in PAPER_GAIN_DB]
    rows.append([MIXES["rooms"], "studio", "paper [004]", SHOWN["global_snr_db"], *gains])
    text = table(["noise", "speech", "", "", *(f"{snr} dB" for snr in SNRS_DB)], rows)
    speakers: dict[str, list[float]] = {}
    for name, snr_db in own_snr_db.items():
        speakers.setdefault(name.partition("-")[0], []).append(snr_db)
    listed = ", ".join(f"{speaker} {np.mean(of):.0f}" for speaker, of in sorted(speakers.items()))
    return (
        f"{text}\n\n{len(own_snr_db)} utterances at each SNR, change against noisy in brackets. The SNR that the clean "
        f"recordings have of their own, in dB by speaker: {listed}. `clean` are the {len(clean)} utterances of "
        f"{least:g} dB and more; what is taken off the noise of the others counts as error. {machine()}."
    )


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of shipped weights, or a path; default: all shipped")
    asked = parser.parse_args()
    names = asked.names or checkpoints.shipped()
    with tempfile.TemporaryDirectory() as folder:
        text = report(*scored(names, Path(folder)))
    if asked.names:
        print(text)
    else:
        write_section("mild", text)


if __name__ == "__main__":
    main()
