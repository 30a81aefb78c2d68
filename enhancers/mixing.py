"""Noisy/clean training pairs, mixed on the fly; pair number i is the same on every machine and after every resume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
import soundfile
import soxr
from pydantic import Field
from scipy.signal import fftconvolve
from torch.utils.data import Dataset

from pipeline import synthetic
from pipeline.config import Section
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.mapped import Mapped
from pipeline.synthetic import Audio

SUFFIXES = {".wav", ".flac", ".ogg"}
FULL_SCALE = 32767
ROUNDING = 2  # samples by which a reference of another rate may be longer or shorter once both have one rate


Generated = Literal["coloured", "babble", "hum", "clicks", "wind", "texture", "harmonic", "room_tone", "pauses"]
VARIED: tuple[Generated, ...] = get_args(Generated)[:-2]  # rooms would be a third kind of low rumble among them


class MixConfig(Section):
    """How pairs are drawn. Shares are probabilities; levels in dB; a speed changes pitch and tempo alike.

    The defaults vary more than any of the papers does; their recipes (enhancers/recipes) switch that off.
    """

    sample_rate: int = 16000
    seconds: float = 3.0
    long_seconds: float | None = None  # of pairs at the end of a training; null: as long as all others
    long_from: float = Field(1.0, ge=0, le=1)  # share of the training after which they are so long
    snr_db: tuple[float, float] = (-5.0, 25.0)
    snr_set_db: tuple[float, ...] = ()  # these values instead of that range
    recorded_share: float = 0.65  # noise from recordings, else generated
    generated: tuple[Generated, ...] = Field(VARIED, min_length=1)  # kinds of generated noise, each as likely
    speech_shares: dict[str, float] = Field(default_factory=dict)  # folder: share of the speech; others by duration
    speech_snr_db: float | None = None  # recordings with less of their own are drawn less; null: all alike
    references: str | None = None  # folder with the same recordings, cleaner: what is wanted of a result; null: speech
    room_share: float = 0.3  # speech and noise put in a room; the target stays reverberant
    clean_share: float = 0.03  # no noise at all: clean in must stay clean
    second_noise_share: float = 0.3  # two noises at once, -10 to 10 dB apart
    third_noise_share: float = 0.0  # of those, a third one on top
    grains_share: float = 0.0  # of recorded noise, put together anew from short pieces of it
    reversed_share: float = 0.0  # of recorded noise, played backwards
    speech_speed: tuple[float, float] = (0.88, 1.14)  # other voices than were recorded
    noise_speed: tuple[float, float] = (0.7, 1.4)
    equaliser_share: float = 0.5  # speech and noise each through a random smooth response
    equaliser_db: float = 6.0
    level_db: tuple[float, float] | None = (-35.0, -12.0)  # null: as recorded, but for what would clip
    rirs: str = "simulated"  # or a folder of recorded room responses
    rooms: int = 200  # simulated ones
    shuffle_clips: int = Field(256, ge=1)  # of speech and of noise, held to draw from when shards are streamed


@dataclass(frozen=True, eq=False)
class Recording:
    """One file: its name without the suffix, and int16 samples so that hours fit in memory.

    Shapes: samples (N,), or (2, N) with what is wanted instead of them in the second row.
    """

    name: str
    samples: np.ndarray

    @property
    def session(self) -> str:
        """The name up to its last dash: utterances of a chapter, takes of a sound (LibriSpeech, ESC-50)."""
        return self.name.rpartition("-")[0] or self.name


def load_recordings(
    folders: Sequence[Path], sample_rate: int, references: Path | None = None
) -> dict[str, list[Recording]]:
    """Every recording below the folders by the name of the folder it lies in.

    `references` holds, in folders of these names, files of the same names and lengths: what is wanted of a result.
    Raises: DataError if there is no recording, or if one has no reference, two, or one of another length.
    """
    found: dict[str, list[Recording]] = {}
    cleaner = _by_name(references) if references else {}
    for folder in folders:
        for path in _audio_files(folder, "--speech and --noise"):
            samples = _samples(path, sample_rate)
            if references:
                samples = np.stack((samples, _reference(path, len(samples), cleaner, references, sample_rate)))
            found.setdefault(path.parent.name, []).append(Recording(path.stem, samples))
    return found


def _by_name(references: Path) -> dict[tuple[str, str], Path]:
    """Recordings by the names of their folder and of themselves."""
    found: dict[tuple[str, str], Path] = {}
    for path in _audio_files(references, "mix.references"):
        other = found.setdefault((path.parent.name, path.stem), path)
        if other != path:
            raise DataError(f"mix.references: {other} and {path} are both {path.parent.name}/{path.stem}; keep one")
    return found


def _reference(
    path: Path, length: int, cleaner: Mapping[tuple[str, str], Path], references: Path, sample_rate: int
) -> np.ndarray:
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
    """One channel of a file as int16, (N,)."""
    return (_decode(path, sample_rate).mean(1).clip(-1, 1) * FULL_SCALE).astype(np.int16)


def load_rirs(folder: Path, sample_rate: int) -> dict[str, list[Recording]]:
    """Room responses below a folder by the name of the folder they lie in; each channel of a file is one.

    Each begins at its direct sound, the first sample that reaches half of the peak, and is scaled to peak 1.
    Raises: DataError if there is none, or if one is silent or not finite.
    """
    found: dict[str, list[Recording]] = {}
    for path in _audio_files(folder, "--rirs"):
        for number, response in enumerate(_decode(path, sample_rate).T):
            peak = float(np.abs(response).max(initial=0.0))
            if not 0 < peak < np.inf:
                raise DataError(f"room response {path}, channel {number}: its peak is {peak}; remove the file")
            start = int(np.argmax(np.abs(response) >= 0.5 * peak))
            response = np.ascontiguousarray(response[start:] / np.float32(peak))
            found.setdefault(path.parent.name, []).append(Recording(f"{path.stem}-{number}", response))
    return found


def simulated_rooms(config: MixConfig, seed: int) -> list[Audio]:
    """Responses of config.rooms random rooms, none if no pair is put in a room."""
    rng = np.random.default_rng((seed, 0))
    return [
        synthetic.room_impulse_response(rng, sample_rate=config.sample_rate, rt60_s=rng.uniform(0.1, 0.6))
        for _ in range(config.rooms if config.room_share else 0)
    ]


def _audio_files(folder: Path, option: str) -> list[Path]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"no {' '.join(sorted(SUFFIXES))} below {folder}; check {option}")
    return paths


def _decode(path: Path, sample_rate: int) -> Audio:
    """Samples of a file, (N, channels)."""
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: {error.error_string}") from None
    return soxr.resample(audio, rate, sample_rate)


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


class Source(Protocol):
    """Where a pair takes its recordings from; each draw depends on `rng` and on nothing that was drawn before.

    Shapes: -> (n,) float32; speech may be (2, n), as spoken and as wanted.
    """

    has_noise: bool

    def speech(self, rng: np.random.Generator, n: int) -> Audio:
        """A stretch of speech that is not mostly a pause, at a random speed."""
        ...

    def voice(self, rng: np.random.Generator, n: int) -> Audio:
        """Any stretch of speech."""
        ...

    def noise(self, rng: np.random.Generator, n: int) -> Audio:
        """A stretch of recorded noise at a random speed."""
        ...


def draw_pair(
    rng: np.random.Generator, source: Source, rooms: Sequence[Audio], cfg: MixConfig, seconds: float | None = None
) -> tuple[Audio, Audio]:
    """One noisy/clean pair, of another length than the settings say where one is given.

    Shapes: -> (noisy, clean), each (seconds * sample_rate,) float32 in [-1, 1].
    """
    n = int((seconds or cfg.seconds) * cfg.sample_rate)
    speech = np.atleast_2d(source.speech(rng, n))
    noise = _noise(rng, n, source, cfg)
    if rng.random() < cfg.second_noise_share:
        noise = synthetic.mix_at_snr(noise, _noise(rng, n, source, cfg), rng.uniform(-10, 10))
        if cfg.third_noise_share and rng.random() < cfg.third_noise_share:
            noise = synthetic.mix_at_snr(noise, _noise(rng, n, source, cfg), rng.uniform(-10, 10))
    if rng.random() < cfg.equaliser_share:
        speech = synthetic.equalise(rng, speech, gain_db=cfg.equaliser_db)
    if rng.random() < cfg.equaliser_share:
        noise = synthetic.equalise(rng, noise, gain_db=cfg.equaliser_db)
    if rng.random() < cfg.room_share:
        room, other = rooms[rng.integers(len(rooms))], rooms[rng.integers(len(rooms))]
        speech = fftconvolve(speech, room[None], axes=-1)[:, :n].astype(np.float32)
        noise = fftconvolve(noise, other)[:n].astype(np.float32)
    spoken, clean = speech[0], speech[-1]
    if rng.random() < cfg.clean_share:
        noisy = spoken
    else:
        snr_db = rng.choice(cfg.snr_set_db) if cfg.snr_set_db else rng.uniform(*cfg.snr_db)
        noisy = synthetic.mix_at_snr(spoken, noise, snr_db)
    level = 1.0
    if cfg.level_db:
        level = 10 ** (rng.uniform(*cfg.level_db) / 20) / max(float(np.sqrt(np.mean(noisy**2))), 1e-6)
    gain = min(level, 0.99 / max(float(np.abs(noisy).max()), float(np.abs(clean).max()), 1e-6))
    return noisy * np.float32(gain), clean * np.float32(gain)


def _noise(rng: np.random.Generator, n: int, source: Source, cfg: MixConfig) -> Audio:
    rate = cfg.sample_rate
    if source.has_noise and rng.random() < cfg.recorded_share:
        noise = source.noise(rng, n)
        if cfg.grains_share and rng.random() < cfg.grains_share:
            noise = synthetic.grains(rng, noise, sample_rate=rate)
        if cfg.reversed_share and rng.random() < cfg.reversed_share:
            noise = noise[::-1]
        return noise
    kind = cfg.generated[rng.integers(len(cfg.generated))]
    if kind == "coloured":
        return synthetic.coloured_noise(rng, n, slope=rng.uniform(-0.5, 2.0))
    if kind == "babble":
        return synthetic.babble([source.voice(rng, n) for _ in range(rng.integers(3, 9))], n)
    if kind == "pauses":
        return synthetic.pause_noise(rng, n, source.voice(rng, PAUSE_SEARCH_S * rate))
    if kind == "hum":
        hum = synthetic.mains_hum(rng, n, sample_rate=rate, mains_hz=rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01))
        return hum + synthetic.coloured_noise(rng, n, slope=rng.uniform(0, 1.5)) * np.float32(rng.uniform(0.05, 1.0))
    if kind == "clicks":
        return synthetic.clicks(rng, n, sample_rate=rate, per_s=rng.uniform(1, 30))
    return getattr(synthetic, kind)(rng, n, sample_rate=rate)


PAUSE_SEARCH_S = 8  # seconds of a voice in which its pauses are looked for


class Mixtures(Dataset):
    """Pair i of an endless list, a function of (seed, i) alone; the recordings lie in memory, once for all workers.

    `rooms` are simulated unless given. Pairs from `long_from` on last `long_seconds`, where that is set.
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
        rooms: Sequence[Audio] | None = None,
        long_from: int | None = None,
    ) -> None:
        for folder in config.speech_shares:
            if folder not in speech:
                raise ConfigError(
                    f"mix.speech_shares: no speech folder {folder!r}, there are {', '.join(sorted(speech))}"
                    + nearest(folder, speech)
                )
        self.recordings = Mapped(r.samples for group in speech.values() for r in group)
        self.tracks, self.config = Mapped(tracks), config
        self.has_noise = bool(self.tracks)
        self.seed, self.length, self.long_from = seed, length, long_from
        self.weights = _weights(speech, config.speech_shares, config.speech_snr_db)
        self.rooms = simulated_rooms(config, seed) if rooms is None else list(rooms)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Audio, Audio]:
        seconds = self.config.long_seconds if self.long_from is not None and index >= self.long_from else None
        return draw_pair(np.random.default_rng((self.seed, 1, index)), self, self.rooms, self.config, seconds)

    def speech(self, rng: np.random.Generator, n: int) -> Audio:
        for _ in range(PAUSE_DRAWS):  # a cut that is mostly a pause has no meaningful SNR: draw again
            samples = self.recordings[rng.choice(len(self.recordings), p=self.weights)]
            cut = at_speed(rng, samples, n, self.config.speech_speed)
            if not is_pause(cut, samples):
                break
        return cut

    def voice(self, rng: np.random.Generator, n: int) -> Audio:
        voice = self.recordings[rng.integers(len(self.recordings))]
        return random_cut(rng, np.atleast_2d(voice)[0], n)

    def noise(self, rng: np.random.Generator, n: int) -> Audio:
        return at_speed(rng, self.tracks[rng.integers(len(self.tracks))], n, self.config.noise_speed)


PAUSE_DRAWS = 8


def is_pause(cut: Audio, samples: np.ndarray) -> bool:
    """Whether a cut is much weaker than the recording it comes from."""
    whole = _unit(samples) if samples.dtype == np.int16 else samples
    return bool(np.sqrt(np.mean(cut**2)) <= 0.3 * np.sqrt(np.mean(whole**2)))


def _weights(
    speech: Mapping[str, Sequence[Recording]], shares: Mapping[str, float], snr_db: float | None = None
) -> np.ndarray:
    """Chance of each recording: a folder's share where one is set, the rest of the chances by duration.

    Within a folder a recording whose own SNR is short of `snr_db` by 10 dB is drawn a third as often.
    """
    lengths = {folder: np.array([_importance(r, snr_db) for r in group]) for folder, group in speech.items()}
    rest = sum(x.sum() for folder, x in lengths.items() if folder not in shares)
    left = 1 - sum(shares.values()) if rest else 0.0
    weights = np.concatenate(
        [shares.get(folder, left) * x / (x.sum() if folder in shares else rest) for folder, x in lengths.items()]
    )
    return weights / weights.sum()


def _importance(recording: Recording, snr_db: float | None) -> float:
    """The recording's samples, those of a noisy one at less."""
    length = recording.samples.shape[-1]
    if snr_db is None:
        return length
    return length * 10 ** (min(0.0, own_snr_db(np.atleast_2d(recording.samples)[0]) - snr_db) / 20)


def own_snr_db(samples: np.ndarray) -> float:
    """How far a recording's speech lies above its pauses, in dB: the level of loud frames over that of quiet ones.

    Source: as NIST's STNR, with the 90th and the 10th percentile of frames of 512 samples.
    Shapes: (N,) -> scalar, 0 if it is shorter than ten frames.

    >>> rng = np.random.default_rng(0)
    >>> noise, tone = rng.standard_normal(32000), 100 * np.sin(np.arange(32000)) * (np.arange(32000) // 8000 % 2)
    >>> round(own_snr_db(noise + tone)), round(own_snr_db(10 * noise + tone))
    (37, 17)
    """
    frames = samples[: len(samples) // 512 * 512].astype(np.float32).reshape(-1, 512)
    if len(frames) < 10:
        return 0.0
    quiet, loud = np.percentile(np.mean(np.square(frames), 1), (10, 90))
    return float(10 * np.log10((loud + 1e-2) / (quiet + 1e-2)))


def at_speed(rng: np.random.Generator, samples: np.ndarray, n: int, speed: tuple[float, float]) -> Audio:
    """n samples of a random cut played at a random speed, in steps of 2% so that soxr keeps few filters.

    Shapes: samples (..., N) -> (..., n).
    """
    percent = int(2 * round(50 * rng.uniform(*speed)))
    cut = random_cut(rng, samples, -(-n * percent // 100))
    return cut if percent == 100 else soxr.resample(cut.T, percent, 100).T[..., :n]


def random_cut(rng: np.random.Generator, samples: np.ndarray, n: int) -> Audio:
    """n samples from a random start, wrapped round at the end; int16 becomes full scale 1.

    Shapes: samples (..., N) -> (..., n).
    """
    length = samples.shape[-1]
    start = int(rng.integers(0, max(1, length - n)))
    cut = samples[..., start : start + n] if length >= n else samples.take(range(n), axis=-1, mode="wrap")
    return _unit(cut) if cut.dtype == np.int16 else cut
