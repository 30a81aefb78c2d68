"""Recordings repeated until there are as many as wanted, no two of them copies of each other.

Each is made of three pieces of different utterances, each played somewhat faster or slower: a search for copies finds
next to none, and to a ruler they are speech like any other.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from environment import DATA
from numpy.typing import NDArray

RATE = 16000
PIECES, SPEEDS = 3, (0.85, 1.15)
FADE_S = 0.01
SEED = 0

Audio = NDArray[np.float32]


def utterances(folder: Path = DATA / "speech" / "train") -> list[Audio]:
    """Return the recordings of a folder at 16 kHz."""
    return [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("*.flac"))]


def write(folder: Path, sources: Sequence[Audio], length_s: tuple[float, float], *, count: int, hours: float) -> int:
    """Write recordings of some length, until there are `count` or they last `hours`; return how many."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    left_s, written = hours * 3600, 0
    while written < count and left_s > 0:
        x = _spliced(rng, sources, rng.uniform(*length_s))
        soundfile.write(folder / f"{written:06d}.wav", x, RATE)
        left_s -= len(x) / RATE
        written += 1
    return written


def _spliced(rng: np.random.Generator, sources: Sequence[Audio], length_s: float) -> Audio:
    """Return pieces of different utterances, one after the other.

    Shapes: sources (N_i,) each -> (N,).
    """
    chosen = rng.choice(len(sources), PIECES, replace=False)
    parts = [_piece(rng, sources[i], length_s / PIECES) for i in chosen]
    ramp = np.linspace(0, 1, round(FADE_S * RATE), dtype=np.float32)
    for part in parts:
        part[: len(ramp)] *= ramp
        part[-len(ramp) :] *= ramp[::-1]
    return np.concatenate(parts)


def _piece(rng: np.random.Generator, x: Audio, length_s: float) -> Audio:
    speed = rng.uniform(*SPEEDS)
    n = min(len(x), round(length_s * RATE * speed))
    start = rng.integers(len(x) - n + 1)
    return soxr.resample(x[start : start + n], round(RATE * speed), RATE, quality="LQ")
