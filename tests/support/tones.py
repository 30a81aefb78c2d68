"""Shards of tones, the shortest corpus that a vocoder can be trained on."""

import json

import numpy as np

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.corpus.shards import write_shard

RATE = 16000


def tone(hz, seconds=1.0, rate=RATE):
    """A sine that fades in."""
    time_s = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * time_s) * np.minimum(1, 20 * time_s)).astype(np.float32)


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
