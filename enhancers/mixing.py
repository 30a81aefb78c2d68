"""Noisy/clean training pairs, mixed on the fly; pair number i is the same on every machine and after every resume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from pydantic import Field
from scipy.signal import fftconvolve
from torch.utils.data import Dataset

from pipeline import synthetic
from pipeline.config import Section
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.synthetic import Audio

SUFFIXES = {".wav", ".flac", ".ogg"}
FULL_SCALE = 32767


class MixConfig(Section):
    """How pairs are drawn. Shares are probabilities; levels in dB; a speed changes pitch and tempo alike."""

    sample_rate: int = 16000
    seconds: float = 3.0
    snr_db: tuple[float, float] = (-5.0, 25.0)
    recorded_share: float = 0.65  # noise from recordings, else generated
    speech_shares: dict[str, float] = Field(default_factory=dict)  # folder: share of the speech; others by duration
    room_share: float = 0.3  # speech and noise put in a room; the target stays reverberant
    clean_share: float = 0.03  # no noise at all: clean in must stay clean
    second_noise_share: float = 0.3  # two noises at once, -10 to 10 dB apart
    speech_speed: tuple[float, float] = (0.88, 1.14)  # other voices than were recorded
    noise_speed: tuple[float, float] = (0.7, 1.4)
    equaliser_share: float = 0.5  # speech and noise each through a random smooth response
    equaliser_db: float = 6.0
    level_db: tuple[float, float] = (-35.0, -12.0)
    rooms: int = 200


@dataclass(frozen=True, eq=False)
class Recording:
    """One file: its name without the suffix, and int16 samples so that hours fit in memory."""

    name: str
    samples: np.ndarray

    @property
    def session(self) -> str:
        """The name up to its last dash: utterances of a chapter, takes of a sound (LibriSpeech, ESC-50)."""
        return self.name.rpartition("-")[0] or self.name


def load_recordings(folders: Sequence[Path], sample_rate: int) -> dict[str, list[Recording]]:
    """Every recording below the folders by the name of the folder it lies in.

    Raises: DataError if there is none.
    """
    found: dict[str, list[Recording]] = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = soxr.resample(audio.mean(1), rate, sample_rate)
            samples = (mono.clip(-1, 1) * FULL_SCALE).astype(np.int16)
            found.setdefault(path.parent.name, []).append(Recording(path.stem, samples))
    if not found:
        raise DataError(
            f"no {' '.join(sorted(SUFFIXES))} below {', '.join(map(str, folders))}; check --speech and --noise"
        )
    return found


def _unit(samples: np.ndarray) -> Audio:
    return samples.astype(np.float32) / FULL_SCALE


def noise_tracks(recordings: dict[str, list[Recording]]) -> list[Audio]:
    """One long track per folder, each recording brought to unit RMS first; silent ones are left out.

    Source: SYSTEMS.md section 0: noise is a random cut of a long concatenated track.
    """
    tracks = []
    for group in recordings.values():
        loud = [x / rms for x in (_unit(r.samples) for r in group) if (rms := float(np.sqrt(np.mean(x**2)))) > 1e-4]
        if loud:
            tracks.append(np.concatenate(loud).astype(np.float32))
    return tracks


class Mixtures(Dataset):
    """Pair i of an endless list, a function of (seed, i) alone.

    Shapes: item -> (noisy, clean), each (seconds * sample_rate,) float32 in [-1, 1].
    Raises: ConfigError if speech_shares names a folder that speech lacks.
    """

    def __init__(
        self,
        speech: Mapping[str, Sequence[Recording]],
        tracks: Sequence[Audio],
        config: MixConfig,
        *,
        seed: int,
        length: int,
    ) -> None:
        for folder in config.speech_shares:
            if folder not in speech:
                raise ConfigError(
                    f"mix.speech_shares: no speech folder {folder!r}, there are {', '.join(sorted(speech))}"
                    + nearest(folder, speech)
                )
        self.speech = [r.samples for group in speech.values() for r in group]
        self.tracks, self.config = list(tracks), config
        self.seed, self.length = seed, length
        self.weights = _weights(speech, config.speech_shares)
        rooms_rng = np.random.default_rng((seed, 0))
        self.rooms = [
            synthetic.room_impulse_response(
                rooms_rng, sample_rate=config.sample_rate, rt60_s=rooms_rng.uniform(0.1, 0.6)
            )
            for _ in range(config.rooms if config.room_share else 0)
        ]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Audio, Audio]:
        cfg = self.config
        rng = np.random.default_rng((self.seed, 1, index))
        n = int(cfg.seconds * cfg.sample_rate)
        clean = self._speech(rng, n)
        noise = self._noise(rng, n)
        if rng.random() < cfg.second_noise_share:
            noise = synthetic.mix_at_snr(noise, self._noise(rng, n), rng.uniform(-10, 10))
        if rng.random() < cfg.equaliser_share:
            clean = synthetic.equalise(rng, clean, gain_db=cfg.equaliser_db)
        if rng.random() < cfg.equaliser_share:
            noise = synthetic.equalise(rng, noise, gain_db=cfg.equaliser_db)
        if rng.random() < cfg.room_share:
            room, other = self.rooms[rng.integers(len(self.rooms))], self.rooms[rng.integers(len(self.rooms))]
            clean = fftconvolve(clean, room)[:n].astype(np.float32)
            noise = fftconvolve(noise, other)[:n].astype(np.float32)
        noisy = (
            clean if rng.random() < cfg.clean_share else synthetic.mix_at_snr(clean, noise, rng.uniform(*cfg.snr_db))
        )
        level = 10 ** (rng.uniform(*cfg.level_db) / 20) / max(float(np.sqrt(np.mean(noisy**2))), 1e-6)
        gain = min(level, 0.99 / max(float(np.abs(noisy).max()), float(np.abs(clean).max()), 1e-6))
        return noisy * np.float32(gain), clean * np.float32(gain)

    def _speech(self, rng: np.random.Generator, n: int) -> Audio:
        for _ in range(8):  # a cut that is mostly a pause has no meaningful SNR: draw again
            samples = self.speech[rng.choice(len(self.speech), p=self.weights)]
            cut = _at_speed(rng, samples, n, self.config.speech_speed)
            if np.sqrt(np.mean(cut**2)) > 0.3 * np.sqrt(np.mean(_unit(samples) ** 2)):
                break
        return cut

    def _noise(self, rng: np.random.Generator, n: int) -> Audio:
        rate = self.config.sample_rate
        if self.tracks and rng.random() < self.config.recorded_share:
            return _at_speed(rng, self.tracks[rng.integers(len(self.tracks))], n, self.config.noise_speed)
        kind = rng.integers(7)
        if kind == 0:
            return synthetic.coloured_noise(rng, n, slope=rng.uniform(-0.5, 2.0))
        if kind == 1:
            voices = [
                _random_cut(rng, self.speech[rng.integers(len(self.speech))], n) for _ in range(rng.integers(3, 9))
            ]
            return synthetic.babble(voices, n)
        if kind == 2:
            hum = synthetic.mains_hum(
                rng, n, sample_rate=rate, mains_hz=rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
            )
            return hum + synthetic.coloured_noise(rng, n, slope=rng.uniform(0, 1.5)) * np.float32(
                rng.uniform(0.05, 1.0)
            )
        if kind == 3:
            return synthetic.clicks(rng, n, sample_rate=rate, per_s=rng.uniform(1, 30))
        kinds = {4: synthetic.wind, 5: synthetic.texture, 6: synthetic.harmonic}
        return kinds[int(kind)](rng, n, sample_rate=rate)


def _weights(speech: Mapping[str, Sequence[Recording]], shares: Mapping[str, float]) -> np.ndarray:
    """Chance of each recording: a folder's share where one is set, the rest of the chances by duration."""
    rest = sum(len(r.samples) for folder, group in speech.items() if folder not in shares for r in group)
    left = 1 - sum(shares.values()) if rest else 0.0
    weights = []
    for folder, group in speech.items():
        total = sum(len(r.samples) for r in group) if folder in shares else rest
        share = shares.get(folder, left)
        weights += [share * len(r.samples) / total for r in group]
    return np.array(weights) / sum(weights)


def _at_speed(rng: np.random.Generator, samples: np.ndarray, n: int, speed: tuple[float, float]) -> Audio:
    """n samples of a random cut played at a random speed, in steps of 2% so that soxr keeps few filters."""
    percent = int(2 * round(50 * rng.uniform(*speed)))
    cut = _random_cut(rng, samples, -(-n * percent // 100))
    return cut if percent == 100 else soxr.resample(cut, percent, 100)[:n]


def _random_cut(rng: np.random.Generator, samples: np.ndarray, n: int) -> Audio:
    """n samples from a random start, wrapped round at the end; int16 becomes full scale 1."""
    start = int(rng.integers(0, max(1, len(samples) - n)))
    cut = np.resize(samples[start : start + n], n)
    return _unit(cut) if cut.dtype == np.int16 else cut
