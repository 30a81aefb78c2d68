"""The recordings of the demo corpus: who speaks, in which room, through which noise, and what goes wrong."""

from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
from scipy import signal

from clean_corpus.pipeline.audio.synthetic import (
    babble,
    clicks,
    coloured_noise,
    mains_hum,
    mix_at_snr,
    room_impulse_response,
    wind,
)
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.demo.speakers import SENTENCES, SPEAKERS, say


@dataclass(frozen=True)
class Take:
    """One recording to be made; its file is `speaker/name`, whose suffix chooses the format.

    The room is dry where `rt60_s` is None, the recording clean where `noise` is None. `level_db` is the RMS of the
    speech in dBFS, `overdrive_db` the gain with which the noisy signal is driven into clipping at full scale.
    """

    speaker: str
    name: str
    sentences: tuple[str, ...]
    sample_rate: int
    rate_wpm: int
    pitch: int
    rt60_s: float | None
    noise: str | None
    snr_db: float
    level_db: float = -23.0
    channels: int = 1
    telephone: bool = False
    overdrive_db: float = 0.0

    @property
    def path(self) -> str:
        return f"{self.speaker}/{self.name}"


FORMATS = (  # taken in turn
    (22050, "wav"),
    (16000, "flac"),
    (44100, "ogg"),
    (48000, "wav"),
    (22050, "mp3"),
    (48000, "opus"),
    (16000, "wav"),
    (44100, "aiff"),
)
NOISES = ("pink", "babble", "hum", None, "white", "clicks", "wind", "brown", None, "babble")
SNRS_DB = (20.0, 5.0, 10.0, 0.0, 15.0, 30.0, 25.0)
RT60S_S = (None, 0.2, 0.3, 0.45, 0.6)
ACCIDENTS = (  # what happens to the first takes
    {"channels": 2},
    {"telephone": True, "noise": "hum", "snr_db": 20.0},
    {"overdrive_db": 18.0},
    {"level_db": -55.0},
    {"overdrive_db": 24.0, "noise": None},
)


def draw_takes(count: int, seed: int) -> list[Take]:
    """Draw the table of recordings: speakers and formats in turn, the rest at random.

    >>> draw_takes(12, 0)[1].path
    'bernhard/bernhard-001.flac'
    """
    rng = np.random.default_rng(seed)
    texts = {language: cycle(rng.permutation(known).tolist()) for language, known in SENTENCES.items()}
    noises = rng.permutation(np.resize(np.array(NOISES, dtype=object), count))
    snrs_db = rng.permutation(np.resize(SNRS_DB, count))
    rt60s_s = rng.permutation(np.resize(np.array(RT60S_S, dtype=object), count))
    takes = []
    for index, name, (sample_rate, suffix) in zip(range(count), cycle(SPEAKERS), cycle(FORMATS), strict=False):
        speaker = SPEAKERS[name]
        takes.append(
            Take(
                speaker=name,
                name=f"{name}-{index:03d}.{suffix}",
                sentences=(next(texts[speaker.language]),),
                sample_rate=sample_rate,
                rate_wpm=speaker.rate_wpm + int(rng.integers(-8, 9)),
                pitch=speaker.pitch + int(rng.integers(-4, 5)),
                rt60_s=rt60s_s[index],
                noise=noises[index],
                snr_db=float(snrs_db[index]),
                level_db=float(rng.uniform(-28, -20)),
            )
        )
    for index, accident in enumerate(ACCIDENTS[:count]):
        takes[index] = replace(takes[index], **accident)
    return takes


def render(take: Take, rng: np.random.Generator) -> tuple[Audio, Audio]:
    """Render a take and its clean reference: the same speech in the same room, channel and gain, without the noise.

    The reverberation belongs to both, so the reference measures what a denoiser restores. An overdriven take's
    reference has the gain before the overdrive, a stereo take's is what reaches the first microphone.

    Shapes: -> noisy (N, channels), clean (N,), full scale +-1.
    """
    speech, _ = timed_speech(take, rng)
    if take.rt60_s is not None:
        response = room_impulse_response(rng, sample_rate=take.sample_rate, rt60_s=take.rt60_s)
        speech = signal.fftconvolve(speech, response)[: len(speech)]
    noise = _noise(take.noise, rng, len(speech), take.sample_rate) if take.noise else np.zeros_like(speech)
    if take.telephone:
        band = signal.butter(6, (300, 3400), "bandpass", fs=take.sample_rate, output="sos")
        speech, noise = signal.sosfilt(band, speech), signal.sosfilt(band, noise)

    clean = speech * 10 ** (take.level_db / 20) / np.sqrt(np.mean(np.square(speech)))
    noisy = mix_at_snr(clean, noise, take.snr_db)
    gain = min(1.0, 0.95 / max(np.abs(noisy).max(), np.abs(clean).max()))
    clean, noisy = gain * clean, gain * noisy
    if take.overdrive_db:
        noisy = np.clip(noisy * 10 ** (take.overdrive_db / 20), -1, 1)
    microphones = np.stack([noisy * 0.7**number for number in range(take.channels)], axis=1)
    return microphones.astype(np.float32), clean.astype(np.float32)


def timed_speech(take: Take, rng: np.random.Generator) -> tuple[Audio, list[tuple[float, float]]]:
    """Return the sentences of a take with pauses around them, and when each begins and ends, seconds.

    Shapes: -> (N,).
    """
    speaker = replace(SPEAKERS[take.speaker], rate_wpm=take.rate_wpm, pitch=take.pitch)
    parts = [_pause(rng, take.sample_rate)]
    times_s = []
    for sentence in take.sentences:
        start = sum(map(len, parts))
        parts.append(say(speaker, sentence, take.sample_rate))
        times_s.append((start / take.sample_rate, (start + len(parts[-1])) / take.sample_rate))
        parts.append(_pause(rng, take.sample_rate))
    return np.concatenate(parts), times_s


def _pause(rng: np.random.Generator, sample_rate: int) -> Audio:
    return np.zeros(int(rng.uniform(0.4, 0.9) * sample_rate), np.float32)


def _noise(kind: str, rng: np.random.Generator, n_samples: int, sample_rate: int) -> Audio:
    match kind:
        case "white" | "pink" | "brown":
            return coloured_noise(rng, n_samples, slope={"white": 0, "pink": 1, "brown": 2}[kind])
        case "hum":
            return mains_hum(rng, n_samples, sample_rate=sample_rate, mains_hz=50)
        case "clicks":
            return clicks(rng, n_samples, sample_rate=sample_rate, per_s=8)
        case "wind":
            return wind(rng, n_samples, sample_rate=sample_rate)
        case "babble":
            talkers = [SPEAKERS[name] for name in rng.choice(list(SPEAKERS), 5, replace=False)]
            lines = [say(talker, str(rng.choice(SENTENCES[talker.language])), sample_rate) for talker in talkers]
            return babble([np.roll(line, rng.integers(len(line))) for line in lines], n_samples)
        case _:
            raise ValueError(f"unknown noise {kind!r}")
