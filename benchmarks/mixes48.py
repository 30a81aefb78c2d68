"""Noisy and clean pairs at 48 kHz of utterances that `full-band` never learns, in noise that holds the whole band."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from environment import DATA
from full_band_data import is_held_out, recordings
from scipy.signal import periodogram

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio

RATE = 48000
SNRS_DB = (0, 5, 10, 15, 20)
UTTERANCES = {"english_48k": 15, "dutch_48k": 10}
LONGEST_S = 8
PEAK = 0.95
SILENCE_DB = -60  # re a recording's mean power: what the clips of the data set are filled up with
LEAST_ABOVE_DB = -50  # mean density from 8 to 16 kHz re that below: less is a recording without this band


def utterances(data: Path = DATA) -> Iterator[tuple[str, Audio]]:
    """Yield the name and the samples at 48 kHz of each held-out utterance that is scored."""
    for voice, count in UTTERANCES.items():
        held_out = [path for path in recordings(data, voice) if is_held_out(path)]
        for path in held_out[:: len(held_out) // count][:count]:
            speech, rate = soundfile.read(path, dtype="float32")
            yield f"{voice}-{path.stem}", resample(speech, rate, RATE)[: LONGEST_S * RATE]


def noise_tracks(data: Path = DATA) -> dict[str, Audio]:
    """Return each class's recordings of the fold that nobody learns, in one row, at 48 kHz and RMS 1, without silence.

    Recordings that hold next to nothing above 8 kHz are left out.
    """
    tracks = {}
    for folder in sorted((data / "noise_44k" / "dev").iterdir()):
        clips = []
        for path in sorted(folder.glob("*.ogg")):
            x, rate = soundfile.read(path, dtype="float32")
            x = without_silence(resample(x, rate, RATE))
            if share_above_db(x) > LEAST_ABOVE_DB:
                clips.append(x / np.sqrt(np.mean(x**2)))
        tracks[folder.name] = np.concatenate(clips)
    return tracks


def without_silence(x: Audio) -> Audio:
    """Return the frames of 10 ms that lie less than 60 dB below the mean power, (N,) -> (M,)."""
    frames = x[: len(x) // 480 * 480].reshape(-1, 480)
    power = np.square(frames).mean(1)
    return frames[power > power.mean() * 10 ** (SILENCE_DB / 10)].ravel()


def share_above_db(x: Audio) -> float:
    """Return the mean power density from 8 to 16 kHz re that below 8 kHz, dB, of a signal at 48 kHz."""
    hz, density = periodogram(x, RATE)
    below, above = density[hz < 8000].mean(), density[(hz >= 8000) & (hz < 16000)].mean()
    return float(10 * np.log10((above + 1e-20) / (below + 1e-20)))


def mix(speech: Audio, noise: Audio, snr_db: float) -> tuple[Audio, Audio]:
    """Return the noisy and the clean signal at an SNR of the whole utterance, both under the gain that keeps the peak.

    Shapes: speech (N,), noise (N,) -> (N,), (N,).
    """
    ratio = np.mean(speech**2) / np.mean(noise**2) / 10 ** (snr_db / 10)
    noisy = speech + noise * np.float32(np.sqrt(ratio))
    gain = np.float32(min(1.0, PEAK / float(np.abs(noisy).max())))
    return noisy * gain, speech * gain


def make_pairs(folder: Path, data: Path = DATA) -> None:
    """Write FOLDER/noisy, FOLDER/clean and FOLDER/recordings, the same on every machine.

    Names of pairs end in their SNR; the recordings are the utterances as they come.
    """
    rng, tracks = np.random.default_rng(48), noise_tracks(data)
    classes = sorted(tracks)
    for part in ("noisy", "clean", "recordings"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, (name, speech) in enumerate(utterances(data)):
        _write(folder / "recordings" / f"{name}.wav", speech)
        noise_class = classes[number % len(classes)]
        for snr_db in SNRS_DB:
            start = int(rng.integers(max(1, len(tracks[noise_class]) - len(speech))))
            noise = np.resize(tracks[noise_class][start:], len(speech))
            for part, x in zip(("noisy", "clean"), mix(speech, noise, snr_db), strict=True):
                _write(folder / part / f"{name}__{noise_class}__{snr_db:02d}dB.wav", x)


def _write(path: Path, x: Audio) -> None:
    soundfile.write(path, x, RATE, subtype="PCM_16")
