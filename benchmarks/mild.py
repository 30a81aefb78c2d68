"""Recordings of 15 to 25 dB, as paper [004] cleans them: unseen speakers before and after shipped weights, in noises of
every kind and, as in that paper, in rooms where nobody speaks.

usage: python benchmarks/mild.py [NAME or PATH ...]     default: all shipped weights, and the section `mild` of
  docs/RESULTS.md is written; with names it is only printed
"""

import csv
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from readme import COMMAND, DATA, TOOLS, machine, put, table

import enhancers
from enhancers.evaluate import NOISY
from pipeline.segment import WINDOW, speech_mask
from pipeline.synthetic import Audio, mix_at_snr

SNRS_DB = (15, 20, 25)
MIXES = {"noises": "sounds of ten kinds", "rooms": "rooms where nobody speaks"}
LEAST_PAUSE = 20  # windows
MOST_RISE_DB = 3.0  # of a window of a pause over their median: a room, no breath and no door
SHOWN = {"global_snr_db": "global SNR, dB", "segmental_snr_db": "segmental SNR, dB", "pesq_wb": "PESQ wb"}
PAPER_GAIN_DB = (3.3, 2.8, 1.4)
"""Paper [004], WGAN with GLU, global SNR at each of SNRS_DB."""

Means = dict[tuple[str, str, str], float]
"""System, measure, SNR in dB -> mean."""


def pauses() -> list[Audio]:
    """The longest pause of every crowd recording that has a steady one, in the order of their names.

    Each is another microphone in another room, or the same on another day; none is silence put there by an encoder.
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
    """A pause forth and back until it is long enough, each turn faded into the next at equal power.

    Shapes: (N,) -> (n_samples,).
    """
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    track, turn = pause - pause.mean(), pause - pause.mean()
    while len(track) < n_samples:
        turn = turn[::-1]
        seam = track[-fade:] * rise[::-1] + turn[:fade] * rise
        track = np.concatenate((track[:-fade], seam, turn[fade:]))
    return track[:n_samples]


def write_pair(folder: Path, name: str, noisy: Audio, clean: Audio, rate: int) -> None:
    level = min(1.0, 0.99 / float(abs(noisy).max()))
    soundfile.write(folder / "noisy" / name, level * noisy, rate)
    soundfile.write(folder / "clean" / name, level * clean, rate)


def mix(root: Path) -> None:
    """The fixed pairs of 20 dB, their noise made louder and softer, and the same speech in rooms."""
    make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", root, "--every", "2"]
    subprocess.run(make, check=True)
    pairs = sorted(path for path in (root / "noisy").glob("*.wav") if path.stem.endswith("20dB"))
    rooms = pauses()
    for number, path in enumerate(pairs):
        (noisy, rate), (clean, _) = (soundfile.read(root / which / path.name) for which in ("noisy", "clean"))
        room = looped(rooms[number * len(rooms) // len(pairs)], len(clean))
        for snr_db in SNRS_DB:
            name = path.name.replace("20dB", f"{snr_db}dB")
            write_pair(root / "noises", name, clean + (noisy - clean) * 10 ** ((20 - snr_db) / 20), clean, rate)
            write_pair(root / "rooms", name, mix_at_snr(clean, room, snr_db), clean, rate)


def means(names: list[str], root: Path) -> dict[str, Means]:
    """Of each of MIXES."""
    for mixed in MIXES:
        for which in ("noisy", "clean"):
            (root / mixed / which).mkdir(parents=True)
    mix(root)
    found = {}
    for mixed in MIXES:
        out = root / "out" / mixed
        subprocess.run([COMMAND, "evaluate", *names, "--pairs", root / mixed, "--out", out], check=True)
        with (out / "summary.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] in SHOWN]
        found[mixed] = {(row["system"], row["metric"], row["value"]): float(row["mean"]) for row in rows}
    return found


def report(found: dict[str, Means]) -> str:
    conditions = list(map(str, SNRS_DB))
    rows = []
    for mixed, of in found.items():
        for system in dict.fromkeys(system for system, *_ in of):
            for metric, about in SHOWN.items():
                values = [of[system, metric, condition] for condition in conditions]
                before = [of[NOISY, metric, condition] for condition in conditions]
                change = [f" ({v - b:+.2f})" if system != NOISY else "" for v, b in zip(values, before, strict=True)]
                cells = [f"{v:.2f}{c}" for v, c in zip(values, change, strict=True)]
                rows.append([MIXES[mixed], system, about, *cells])
    gains = [f"({gain:+.1f})" for gain in PAPER_GAIN_DB]
    rows.append([MIXES["rooms"], "paper [004]", SHOWN["global_snr_db"], *gains])
    text = table(["noise", "", "", *(f"{snr} dB" for snr in SNRS_DB)], rows)
    return f"{text}\n\n25 utterances at each SNR, change against noisy in brackets; {machine()}."


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem for path in enhancers.WEIGHTS.glob("*.safetensors"))
    with tempfile.TemporaryDirectory() as folder:
        text = report(means(names, Path(folder)))
    if sys.argv[1:]:
        print(text)
    else:
        put("mild", text, "docs/RESULTS.md")


if __name__ == "__main__":
    main()
