"""Tones, a made voice, and shards of tones, the shortest corpus that a vocoder can be trained on."""

import json

import numpy as np
import scipy.signal

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.corpus.shards import write_shard

RATE = 16000


def tone(hz, seconds=1.0, rate=RATE):
    """A sine that fades in."""
    time_s = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * time_s) * np.minimum(1, 20 * time_s)).astype(np.float32)


def vowel(f0_hz, n, rate=RATE):
    """A made voice that says "ah", 3 % up and down: soft pulses through three formants, with a little breath."""
    time = np.arange(n) / rate
    turns = f0_hz * (time + 0.03 / (2 * np.pi * 3) * np.sin(2 * np.pi * 3 * time))
    x = scipy.signal.lfilter([1], [1, -0.95], np.diff(np.floor(turns), prepend=-1.0))
    x += 0.01 * np.random.default_rng(0).standard_normal(n)
    for hz, width_hz in ((700, 100), (1200, 120), (2600, 200)):
        radius = np.exp(-np.pi * width_hz / rate)
        x = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / rate), radius**2], x)
    return (0.5 * x / np.abs(x).max()).astype(np.float32)


def write_tones(store, name, frequencies_hz, *, rate=RATE):
    """Write a shard with a second of each frequency, two speakers in turn; return its path."""
    stem = name.rpartition("/")[2].removesuffix(".tar")
    samples = [
        {
            "__key__": f"c{stem}-{i}",
            "flac": encode.encode_flac(tone(hz, rate=rate), rate, bits=16),
            "json": json.dumps({"speaker": f"s{i % 2}"}).encode(),
        }
        for i, hz in enumerate(frequencies_hz)
    ]
    write_shard(store, name, samples)
    return store.path(name)
