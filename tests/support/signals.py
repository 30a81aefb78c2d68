"""Signals whose answer is known beforehand: tones, chirps, silence, and speech from the demo's own voices."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import count

import numpy as np

from clean_corpus.pipeline.audio.synthetic import coloured_noise, mix_at_snr
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.demo.speakers import SENTENCES, SPEAKERS, say

SPEECH_LEVEL_DB = -23.0


def tone(freq_hz: float, seconds: float, sample_rate: int, level_db: float = -20.0) -> Audio:
    """A sine from phase 0; `level_db` is its RMS, dB re full scale 1.

    >>> x = tone(1000, 0.5, 16000, level_db=-20)
    >>> len(x), round(20 * np.log10(np.sqrt(np.mean(x**2))), 2).item()
    (8000, -20.0)
    """
    time_s = np.arange(round(seconds * sample_rate)) / sample_rate
    return (_peak(level_db) * np.sin(2 * np.pi * freq_hz * time_s)).astype(np.float32)


def chirp(start_hz: float, stop_hz: float, seconds: float, sample_rate: int, level_db: float = -20.0) -> Audio:
    """A sine whose frequency runs linearly from `start_hz` to `stop_hz`; `level_db` as for a tone.

    >>> bool(np.allclose(chirp(440, 440, 0.1, 16000), tone(440, 0.1, 16000), atol=1e-6))
    True
    """
    time_s = np.arange(round(seconds * sample_rate)) / sample_rate
    cycles = start_hz * time_s + (stop_hz - start_hz) / (2 * seconds) * time_s**2
    return (_peak(level_db) * np.sin(2 * np.pi * cycles)).astype(np.float32)


def silence(seconds: float, sample_rate: int) -> Audio:
    """Digital zero.

    >>> silence(0.25, 8).tolist()
    [0.0, 0.0]
    """
    return np.zeros(round(seconds * sample_rate), np.float32)


def utterances(seed: int, sample_rate: int = 16000) -> Iterator[Audio]:
    """One speaker's sentences without end, at unit RMS each; the seed chooses the speaker, pace, pitch and order.

    Shapes: -> (N_i,) each.
    """
    for index in count():
        yield _utterance(seed, index, sample_rate)


def speech(seconds: float, seed: int, sample_rate: int = 16000) -> Audio:
    """Sentences of one speaker with pauses of 0.3 to 0.8 s, cut to the length; RMS -23 dB re full scale 1.

    >>> x = speech(2.5, seed=0)
    >>> len(x), round(20 * np.log10(np.sqrt(np.mean(x**2))), 2).item()
    (40000, -23.0)
    """
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * sample_rate)
    parts = [silence(0.2, sample_rate)]
    for utterance in utterances(seed, sample_rate):
        parts += [utterance, silence(rng.uniform(0.3, 0.8), sample_rate)]
        if sum(map(len, parts)) >= n_samples:
            break
    return _at_speech_level(np.concatenate(parts)[:n_samples])


def noisy_speech(seconds: float, snr_db: float, seed: int, sample_rate: int = 16000) -> Audio:
    """`speech(seconds, seed)` with pink noise at this ratio over the whole stretch.

    >>> clean, noisy = speech(2, seed=1), noisy_speech(2, 10.0, seed=1)
    >>> round(10 * np.log10(np.sum(clean**2) / np.sum((noisy - clean) ** 2)), 1).item()
    10.0
    """
    clean = speech(seconds, seed, sample_rate)
    return mix_at_snr(clean, coloured_noise(np.random.default_rng(seed), len(clean), slope=1), snr_db)


@lru_cache(maxsize=256)
def _utterance(seed: int, index: int, sample_rate: int) -> Audio:
    rng = np.random.default_rng(seed)
    speaker = list(SPEAKERS.values())[seed % len(SPEAKERS)]
    speaker = replace(speaker, rate_wpm=int(rng.integers(150, 186)), pitch=speaker.pitch + int(rng.integers(-8, 9)))
    texts = rng.permutation(SENTENCES[speaker.language])
    audio = say(speaker, str(texts[index % len(texts)]), sample_rate)
    audio /= np.sqrt(np.mean(np.square(audio)))
    audio.setflags(write=False)  # every caller gets the same array
    return audio


def _at_speech_level(audio: Audio) -> Audio:
    return audio * np.float32(10 ** (SPEECH_LEVEL_DB / 20) / np.sqrt(np.mean(np.square(audio))))


def _peak(level_db: float) -> float:
    return np.sqrt(2) * 10 ** (level_db / 20)
