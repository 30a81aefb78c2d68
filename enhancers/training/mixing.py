"""Noisy/clean training pairs, mixed on the fly; pair i is the same on every machine and after every resume."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol, Self, get_args

import numpy as np
import soxr
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from scipy.signal import fftconvolve
from torch.utils.data import Dataset

from clean_corpus.enhancers.training.draw_weights import draw_weights
from clean_corpus.enhancers.training.recordings import Recording, unit_scale
from clean_corpus.pipeline.audio import lossy, synthetic
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.pipeline.core.shared_arrays import SharedArrays
from clean_corpus.pipeline.core.types import Audio

Generated = Literal["coloured", "babble", "hum", "clicks", "wind", "texture", "harmonic", "room_tone", "pauses"]
VARIED: tuple[Generated, ...] = get_args(Generated)[:-2]  # rooms would be a third kind of low rumble among them


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise PydanticCustomError("range", "expected the lower value of a range first")
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], AfterValidator(_rising)]
Positive = Annotated[float, Field(gt=0)]
Speed = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]


class MixConfig(Section):
    """Settings of the mixer of noisy/clean pairs: shares are probabilities, a speed changes pitch and tempo alike.

    The defaults vary more than any of the papers does; their recipes (enhancers/training/recipes) switch that off.
    """

    sample_rate: int = Field(16000, gt=0)
    seconds: float = Field(3.0, gt=0)
    long_seconds: Positive | None = None  # of pairs at the end of a training; null: as of all others
    long_from: Share = 1.0  # share of the training after which pairs have long_seconds
    snr_db: Range = (-5.0, 25.0)
    snr_set_db: tuple[float, ...] = ()  # these values instead of that range
    recorded_share: Share = 0.65  # noise from recordings, else generated
    generated: tuple[Generated, ...] = Field(VARIED, min_length=1)  # kinds of generated noise, each as likely
    speech_shares: dict[str, Share] = Field(default_factory=dict)  # folder: share of the speech; others by duration
    speech_snr_db: float | None = None  # recordings with a lower SNR are drawn less; null: all alike
    references: str | None = None  # folder with the same recordings, cleaner: what is wanted of a result; null: speech
    room_share: Share = 0.3  # speech and noise put in a room; the target stays reverberant
    clean_share: Share = 0.03  # no noise at all: clean in must stay clean
    second_noise_share: Share = 0.3  # two noises at once, -10 to 10 dB apart
    third_noise_share: Share = 0.0  # of those, a third noise on top
    grains_share: Share = 0.0  # of recorded noise, rebuilt from short pieces of it in random order
    reversed_share: Share = 0.0  # of recorded noise, played backwards
    speech_speed: Speed = (0.88, 1.14)  # other voices than were recorded
    noise_speed: Speed = (0.7, 1.4)
    equaliser_share: Share = 0.5  # speech and noise each through a random smooth response
    equaliser_db: float = 6.0
    lowpass_share: Share = 0.0  # of pairs, cut off above a random frequency, as codecs and older recorders do
    lowpass_hz: Range = (9000.0, 20000.0)
    codec_share: Share = 0.0  # of pairs, through Opus, Vorbis or MP3 at a random bit rate, as what people collect was
    level_db: Range | None = (-35.0, -12.0)  # null: as recorded, but for what would clip
    rirs: str = "simulated"  # or a folder of recorded room responses
    rooms: int = Field(200, ge=0)  # simulated ones
    shuffle_clips: int = Field(256, ge=1)  # of speech and of noise, held to draw from when shards are streamed

    @model_validator(mode="after")
    def _heard(self) -> Self:
        """Refuse shares of what the other settings leave out."""
        problem = None
        if self.lowpass_share and self.lowpass_hz[0] >= self.sample_rate / 2:
            problem = (
                f"lowpass_hz begins at {self.lowpass_hz[0]:g} Hz, where mix.sample_rate {self.sample_rate} ends at "
                f"{self.sample_rate / 2:g} Hz; lower lowpass_hz, or set lowpass_share=0"
            )
        if self.room_share and self.rirs == "simulated" and not self.rooms:
            problem = f"room_share is {self.room_share:g}, but rooms is 0; raise rooms, or set room_share=0"
        if problem:
            raise PydanticCustomError("nothing", "{problem}", {"problem": problem})
        return self


def simulated_rooms(config: MixConfig, seed: int) -> list[Audio]:
    """Simulate the responses of config.rooms random rooms, or none if no pair is put in a room."""
    rng = np.random.default_rng((seed, 0))
    return [
        synthetic.room_impulse_response(rng, sample_rate=config.sample_rate, rt60_s=rng.uniform(0.1, 0.6))
        for _ in range(config.rooms if config.room_share else 0)
    ]


class Source(Protocol):
    """Source of the recordings of a pair; each draw depends on `rng` alone and on no earlier draw.

    Shapes: -> (n,) float32; speech may be (2, n), the recording and its reference.
    """

    has_noise: bool

    def speech(self, rng: np.random.Generator, n: int) -> Audio:
        """Draw a stretch of speech that is not mostly a pause, at a random speed."""
        ...

    def voice(self, rng: np.random.Generator, n: int) -> Audio:
        """Draw any stretch of speech."""
        ...

    def noise(self, rng: np.random.Generator, n: int) -> Audio:
        """Draw a stretch of recorded noise at a random speed."""
        ...


def draw_pair(
    rng: np.random.Generator, source: Source, rooms: Sequence[Audio], cfg: MixConfig, seconds: float | None = None
) -> tuple[Audio, Audio]:
    """Draw one noisy/clean pair; `seconds`, where given, is its length instead of that of the settings.

    Shapes: -> (noisy, clean), each (seconds * sample_rate,) float32 in [-1, 1].
    """
    rate = cfg.sample_rate
    n = int((seconds or cfg.seconds) * rate)
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
    if cfg.lowpass_share and rng.random() < cfg.lowpass_share:
        noisy, clean = synthetic.low_pass(np.stack((noisy, clean)), rng.uniform(*cfg.lowpass_hz), sample_rate=rate)
    if cfg.codec_share and rng.random() < cfg.codec_share:
        codecs = [codec for codec in lossy.CODECS if lossy.takes(codec, rate)]
        codec, strength = codecs[rng.integers(len(codecs))], rng.random()
        noisy, clean = (lossy.through(codec, x, sample_rate=rate, strength=strength) for x in (noisy, clean))
    level = 1.0
    if cfg.level_db:
        level = 10 ** (rng.uniform(*cfg.level_db) / 20) / max(float(np.sqrt(np.mean(noisy**2))), 1e-6)
    gain = min(level, 0.99 / max(float(np.abs(noisy).max()), float(np.abs(clean).max()), 1e-6))
    return noisy * np.float32(gain), clean * np.float32(gain)


def _noise(rng: np.random.Generator, n: int, source: Source, cfg: MixConfig) -> Audio:
    """Draw recorded noise, or generated noise of a random kind."""
    rate = cfg.sample_rate
    if source.has_noise and rng.random() < cfg.recorded_share:
        noise = source.noise(rng, n)
        if cfg.grains_share and rng.random() < cfg.grains_share:
            noise = synthetic.shuffle_grains(rng, noise, sample_rate=rate)
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
    """Pairs of recordings in memory, which all workers share; pair i is a function of (seed, i) alone.

    `rooms` are simulated unless given. Pair `long_from` and all later ones last `config.long_seconds`.
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
        self.recordings = SharedArrays(r.samples for group in speech.values() for r in group)
        self.tracks, self.config = SharedArrays(tracks), config
        self.has_noise = bool(self.tracks)
        self.seed, self.length, self.long_from = seed, length, long_from
        self.weights = draw_weights(speech, config.speech_shares, config.speech_snr_db)
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
    """Return whether a cut is much weaker than the recording it comes from."""
    whole = unit_scale(samples) if samples.dtype == np.int16 else samples
    return bool(np.sqrt(np.mean(cut**2)) <= 0.3 * np.sqrt(np.mean(whole**2)))


def at_speed(rng: np.random.Generator, samples: np.ndarray, n: int, speed: tuple[float, float]) -> Audio:
    """Play n samples of a random cut at a random speed, in steps of 2% so that soxr needs few filters.

    Shapes: samples (..., N) -> (..., n).
    """
    percent = int(2 * round(50 * rng.uniform(*speed)))
    cut = random_cut(rng, samples, -(-n * percent // 100))
    return cut if percent == 100 else soxr.resample(cut.T, percent, 100).T[..., :n]


def random_cut(rng: np.random.Generator, samples: np.ndarray, n: int) -> Audio:
    """Cut n samples from a random start, wrapping round at the end; int16 becomes full scale 1.

    Shapes: samples (..., N) -> (..., n).
    """
    length = samples.shape[-1]
    if length >= n:
        start = int(rng.integers(length - n + 1))
        cut = samples[..., start : start + n]
    else:
        start = int(rng.integers(length))
        cut = samples.take(range(start, start + n), axis=-1, mode="wrap")
    return unit_scale(cut) if cut.dtype == np.int16 else cut
