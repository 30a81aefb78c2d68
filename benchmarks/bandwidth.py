"""Bandwidth of clean recordings at their own rate and after lower ones: what the gate asks for at each rate.

usage: python benchmarks/bandwidth.py     writes the section `bandwidth` of the documents
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from documents import table, write_section
from environment import DATA

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.rates import BANDWIDTHS, RATES_HZ
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import signal_measures

CLIPS = 200  # of each set, drawn with a fixed seed
SETS = {
    "48 kHz": ("speech/english_48k", "speech/dutch_48k"),
    "24 kHz": ("speech/flemish_24k",),
    "16 kHz, read": ("speech/dev", "speech/train"),
    "16 kHz, many speakers": ("speech/many_16k",),
    "16 kHz, a crowd's": ("crowd",),
}
LOWER = (32000, 24000, 22050, 16000, 8000)
"""Rates at which the recordings of 48 kHz are taken down and up again, the last one telephony's."""
SOUND = {".ogg", ".flac", ".wav"}


def main() -> None:
    found = {f"recorded at {name}": [*recordings(*folders)] for name, folders in SETS.items()}
    full = found["recorded at 48 kHz"]
    for rate in LOWER:
        found[f"the first, upsampled from {rate / 1000:g} kHz"] = [
            (as_16_bit(resample(resample(x, 48000, rate), rate, 48000)), 48000) for x, _ in full
        ]
    passed = {name: bandwidths(clips) for name, clips in found.items()}
    write_section("bandwidth", table(["recordings", "clips", "p1", "p50", *heads(), "end of spectrum"], rows(passed)))


def recordings(*folders: str) -> Iterator[tuple[Audio, int]]:
    """Yield samples, one channel (N,), and rate of some recordings below folders."""
    for folder in folders:
        paths = sorted(path for path in Path(DATA, folder).rglob("*") if path.suffix in SOUND)
        for path in random.Random(0).sample(paths, min(CLIPS, len(paths))):
            x, rate = soundfile.read(path, dtype="float32", always_2d=True)
            yield x[:, 0], rate


def as_16_bit(x: Audio) -> Audio:
    """Return samples in steps of 16 bits, scaled down where the resampler overshot."""
    return (np.rint(x / max(1.0, float(np.abs(x).max())) * 32767) / 32768).astype(np.float32)


def bandwidths(clips: list[tuple[Audio, int]]) -> list[tuple[float, bool]]:
    """Return the bandwidth of each clip, Hz, and whether its spectrum ends as a resampler's does."""
    measured = []
    for x, rate in clips:
        power = signal_measures.power_spectrum(x, rate)
        step = signal_measures.quantisation_step(x)
        bandwidth_hz = signal_measures.bandwidth_of_spectrum_hz(power, rate, step=step)
        measured.append((bandwidth_hz, bool(np.isfinite(signal_measures.cutoff_of_spectrum_hz(power, rate)))))
    return measured


def groups() -> list[tuple[float, list[int]]]:
    """Return each threshold with the rates that share it."""
    limits = dict.fromkeys(BANDWIDTHS[rate].kept for rate in RATES_HZ)
    return [(limit, [rate for rate in RATES_HZ if BANDWIDTHS[rate].kept == limit]) for limit in limits]


def heads() -> list[str]:
    return [f"{', '.join(f'{rate / 1000:g}' for rate in rates)}: {limit:g} Hz" for limit, rates in groups()]


def rows(passed: dict[str, list[tuple[float, bool]]]) -> Iterator[list[object]]:
    for name, measured in passed.items():
        hz = np.array([value for value, _ in measured])
        shares = [f"{np.mean(hz >= limit):.1%}" for limit, _ in groups()]
        ends = np.mean([ends for _, ends in measured])
        yield [name, len(hz), f"{np.percentile(hz, 1):.0f}", f"{np.median(hz):.0f}", *shares, f"{ends:.0%}"]


if __name__ == "__main__":
    main()
