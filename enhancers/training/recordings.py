"""Recordings of speech, of noise and of rooms, loaded from folders for a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import channels

SUFFIXES = {".wav", ".flac", ".ogg"}
FULL_SCALE = 2**15  # as libsndfile reads int16
ROUNDING = 2  # samples by which the lengths of a reference and its recording may differ after resampling


@dataclass(frozen=True, eq=False)
class Recording:
    """One file: its name without the suffix, and its samples as int16, so that hours fit in memory.

    Shapes: samples (N,), or (2, N) with the reference, which a network should give, in the second row.
    """

    name: str
    samples: np.ndarray

    @property
    def session(self) -> str:
        """Return the name up to its last dash, which utterances of a chapter and takes of a sound share."""
        return self.name.rpartition("-")[0] or self.name


def load_recordings(
    folders: Sequence[Path], sample_rate: int, references: Path | None = None
) -> dict[str, list[Recording]]:
    """Load every recording below the folders, grouped by the name of the folder it lies in.

    `references` holds, in folders of the same names, files of the same names and lengths: what a network should give.

    Raises: DataError if there is no recording, if one is empty or not finite, or has no reference, two, or one of
    another length.
    """
    found: dict[str, list[Recording]] = {}
    cleaner = _by_name(references) if references else {}
    for folder in folders:
        for path in audio_files(folder, "--speech and --noise"):
            samples = _samples(path, sample_rate)
            if references:
                samples = np.stack((samples, _reference(path, len(samples), cleaner, references, sample_rate)))
            found.setdefault(path.parent.name, []).append(Recording(path.stem, samples))
    return found


def _by_name(references: Path) -> dict[tuple[str, str], Path]:
    """Return the recordings below a folder by (name of their folder, own name)."""
    found: dict[tuple[str, str], Path] = {}
    for path in audio_files(references, "mix.references"):
        other = found.setdefault((path.parent.name, path.stem), path)
        if other != path:
            raise DataError(f"mix.references: {other} and {path} are both {path.parent.name}/{path.stem}; keep one")
    return found


def _reference(
    path: Path, length: int, cleaner: Mapping[tuple[str, str], Path], references: Path, sample_rate: int
) -> np.ndarray:
    """Return a recording's reference as int16, cut or padded to its length."""
    other = cleaner.get((path.parent.name, path.stem))
    if other is None:
        raise DataError(f"{path}: no {path.parent.name}/{path.stem} below mix.references {references}; add it")
    samples = _samples(other, sample_rate)
    short = length - len(samples)
    if abs(short) > ROUNDING:
        raise DataError(
            f"{path} has {length} samples at {sample_rate} Hz, its reference {other} has {len(samples)}; "
            "make the reference of the whole recording"
        )
    return np.pad(samples[:length], (0, max(0, short)))


def _samples(path: Path, sample_rate: int) -> np.ndarray:
    """Return the mean of a file's channels, or one where they cancel or one is at fault, as int16, (N,)."""
    samples = _decode(path, sample_rate)
    if not len(samples) or not np.isfinite(samples).all():
        raise DataError(f"{path}: {len(samples)} samples, or one that is not finite; remove the file")
    return to_int16(channels.mono(samples, sample_rate))


def load_rirs(folder: Path, sample_rate: int) -> dict[str, list[Recording]]:
    """Load the room responses below a folder, grouped by the name of the folder they lie in; each channel is one.

    Each begins at its direct sound, the first sample that reaches half of the peak, and is scaled to peak 1.

    Raises: DataError if there is none, or if one is silent or not finite.
    """
    found: dict[str, list[Recording]] = {}
    for path in audio_files(folder, "--rirs"):
        for number, response in enumerate(_decode(path, sample_rate).T):
            peak = float(np.abs(response).max(initial=0.0))
            if not 0 < peak < np.inf:
                raise DataError(f"room response {path}, channel {number}: its peak is {peak}; remove the file")
            start = int(np.argmax(np.abs(response) >= 0.5 * peak))
            response = np.ascontiguousarray(response[start:] / np.float32(peak))
            found.setdefault(path.parent.name, []).append(Recording(f"{path.stem}-{number}", response))
    return found


def noise_tracks(recordings: dict[str, list[Recording]]) -> list[Audio]:
    """Join the recordings of each folder to one long track, each scaled to unit RMS; silent ones are left out.

    Source: paper [001], section 4.1 (noise is a random cut of a long track); SYSTEMS.md section 0, Mixing.
    """
    tracks = []
    for group in recordings.values():
        scaled = (unit_scale(r.samples) for r in group)
        loud = [x / rms for x in scaled if (rms := float(np.sqrt(np.mean(x**2)))) > 1e-4]
        if loud:
            tracks.append(np.concatenate(loud).astype(np.float32))
    return tracks


def to_int16(samples: Audio) -> np.ndarray:
    """Convert samples of full scale 1 to the nearest int16; what lies beyond full scale is cut.

    >>> to_int16(np.array([-2.0, -1 / 2**15, 0.6 / 2**15, 1.0])).tolist()
    [-32768, -1, 1, 32767]
    """
    return np.rint(samples * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def unit_scale(samples: np.ndarray) -> Audio:
    """Convert int16 samples to float32 of full scale 1."""
    return samples.astype(np.float32) / FULL_SCALE


def audio_files(folder: Path, option: str) -> list[Path]:
    """Return the sound files below a folder in the order of their names.

    Raises: DataError that names the option which named the folder, if there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"no {' '.join(sorted(SUFFIXES))} below {folder}; check {option}")
    return paths


def _decode(path: Path, sample_rate: int) -> Audio:
    """Return the samples of a file at another rate, (N, channels)."""
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: {error.error_string}") from None
    return soxr.resample(audio, rate, sample_rate)
