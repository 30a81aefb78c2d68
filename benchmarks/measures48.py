"""Measures of enhanced signals at 48 kHz against their clean versions."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from environment import TOOLS
from mixes48 import RATE
from peers48 import visqol
from scipy.signal import correlate, stft

from clean_corpus.pipeline.audio.lossy import CODECS, through
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.distillmos import DistillMos
from clean_corpus.pipeline.quality.dnsmos import Dnsmos

FLOOR = 1e-5  # of magnitudes that are compared, as in the fixed yardstick
BAND = slice(341, 854)  # bins of 23.4 Hz from 8 to 20 kHz, as in the fixed yardstick
SPEECH_DB = -40  # a frame is speech if its clean power is less than so much below that of the loudest
MOS_EVERY = 3  # pairs of which one is heard by the networks that predict opinions

Scores = dict[str, dict[str, float]]
"""SNR, or `all` -> measure -> mean."""


def yardstick(out: Path, clean: Path) -> Scores:
    """Return what the fixed yardstick says: SI-SDR of the whole band and from 8 to 20 kHz, and LSD there, dB."""
    command = [sys.executable, TOOLS / "score_pairs48.py", out, clean]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {key: means for key, means in found.items() if key != "n"}


def log_spectral_distances(estimate: Audio, clean: Audio) -> tuple[float, float, float]:
    """Return the distance of logarithmic spectra from 8 to 20 kHz in all frames, in speech and in pauses, dB.

    Of a signal without pauses the last is not a number.
    Source: Gray & Markel 1976; frames, bins and floor as in the fixed yardstick.
    """
    spectra = [np.abs(stft(x, RATE, nperseg=2048)[2]) for x in (estimate, clean)]
    logs = [20 * np.log10(spectrum[BAND] + FLOOR) for spectrum in spectra]
    distances = np.sqrt(np.square(logs[0] - logs[1]).mean(0))
    speech = is_speech(spectra[1])
    pauses = float(distances[~speech].mean()) if not speech.all() else float("nan")
    return float(distances.mean()), float(distances[speech].mean()), pauses


def is_speech(magnitude: Audio) -> Audio:
    """Return which frames of a clean signal's spectrum are speech, (F, T) -> (T,)."""
    power = np.square(magnitude).sum(0)
    return power > power.max() * 10 ** (SPEECH_DB / 10)


def delay(estimate: Audio, clean: Audio) -> int:
    """Return by how many samples an estimate comes after the clean signal, where the two are most alike."""
    found = correlate(estimate, clean, method="fft")
    return int(np.argmax(found)) - (len(clean) - 1)


def require_aligned(out: Path, clean: Path) -> None:
    """Refuse estimates that come late or early, since every measure here would punish them.

    Raises: ValueError that names the folder, unless the estimates of the pairs at 20 dB lie where the clean signals do.
    """
    paths = sorted(out.glob("*__20dB.wav"))
    late = [delay(*(soundfile.read(folder / path.name)[0] for folder in (out, clean))) for path in paths]
    if any(late):
        raise ValueError(f"{out.name}: {sum(map(bool, late))} of {len(late)} are late, by up to {max(late, key=abs)}")


def measure(out: Path, clean: Path) -> Scores:
    """Return the means of all measures over a folder of estimates; opinions are predicted of one pair in three."""
    scores, rows, opinions = yardstick(out, clean), [], []
    visqol_of, dnsmos, distillmos = visqol(), Dnsmos(), DistillMos()
    for number, path in enumerate(sorted(out.iterdir())):
        estimate, reference = (soundfile.read(folder / path.name, dtype="float32")[0] for folder in (out, clean))
        _, speech, pauses = log_spectral_distances(estimate, reference)
        rows.append((speech, pauses, visqol_of(reference, estimate)))
        if number % MOS_EVERY == 0:
            narrow = np.clip(resample(estimate, RATE, 16000), -1, 1)
            opinions.append((dnsmos(narrow)["dnsmos_ovrl"], distillmos(narrow)))
    means = (*np.nanmean(np.array(rows), 0), *np.mean(opinions, 0))
    names = ("lsd_speech", "lsd_pauses", "visqol", "ovrl", "distillmos")
    return scores | {"all": scores["all"] | dict(zip(names, map(float, means), strict=True))}


def clean_in(system: Callable[[Audio], Audio], recordings: Path) -> tuple[float, float, float, float]:
    """Return by how much a system changes clean recordings from 8 to 20 kHz, dB.

    Of recordings as they are: all frames, speech and pauses; then all frames of recordings that went through a codec,
    against what the codec left of them.
    """
    found = []
    for number, path in enumerate(sorted(recordings.iterdir())):
        x, _ = soundfile.read(path, dtype="float32")
        coded = through(CODECS[number % len(CODECS)], x, sample_rate=RATE, strength=0.5)
        found.append((*log_spectral_distances(system(x), x), log_spectral_distances(system(coded), coded)[0]))
    return tuple(np.nanmean(np.array(found), 0).tolist())
