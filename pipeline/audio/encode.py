"""Encoding of clips as FLAC and WAV files: same samples, same bytes."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from clean_corpus.pipeline.core.files import write_whole
from clean_corpus.pipeline.core.types import Audio

_PIECE = 2**20  # frames that are rounded at once


def encode_flac(x: Audio, sample_rate: int, *, bits: Literal[16, 24]) -> bytes:
    """Return a mono FLAC file, rounded to the nearest step without dither.

    Full scale: 1.0 is 2**(bits - 1), as in decoding, so encoding what was decoded changes nothing; +1.0 itself,
    which no integer holds, becomes one step less.
    Shapes: x (N,), |x| <= 1, N >= 1.
    Raises: ValueError if x is not mono, is empty, is not finite or exceeds full scale.

    >>> from clean_corpus.pipeline.audio.decode import decode
    >>> x, sample_rate = decode(encode_flac(np.array([0.5, -1.0], np.float32), 16000, bits=16))
    >>> x.tolist(), sample_rate
    ([0.5, -1.0], 16000)
    """
    return _encode(x, sample_rate, bits=bits, container="FLAC")


def encode_wav(x: Audio, sample_rate: int, *, bits: Literal[16, 24] = 16) -> bytes:
    """Return a WAV file of one channel or of several, in the steps of `encode_flac`.

    Shapes: x (N,) or (N, C), |x| <= 1, N >= 1.
    Raises: ValueError as `encode_flac`.
    """
    return _encode(x, sample_rate, bits=bits, container="WAV")


def write_wav(path: Path, x: Audio, sample_rate: int) -> None:
    """Write a mono 16-bit WAV file, which is there whole or not at all.

    Shapes: x (N,), |x| <= 1, N >= 1.
    Raises: ValueError as `encode_flac`; OSError if the file cannot be written.
    """
    write_whole(path, encode_wav(x, sample_rate))


def _encode(x: Audio, sample_rate: int, *, bits: Literal[16, 24], container: Literal["FLAC", "WAV"]) -> bytes:
    if x.ndim > (2 if container == "WAV" else 1) or not x.size:
        raise ValueError(f"expected (N,) samples, N >= 1, got shape {x.shape}")
    peak = float(np.abs(x).max())
    if not peak <= 1:  # NaN too
        raise ValueError(f"peak is {peak}, full scale is 1; scale before encoding")
    full_scale = 1 << (bits - 1)
    samples = np.empty(x.shape, np.int16 if bits == 16 else np.int32)
    for first in range(0, len(x), _PIECE):  # an hour has 170 million samples
        part = x[first : first + _PIECE].astype(np.float64) * full_scale
        samples[first : first + _PIECE] = np.clip(np.rint(part), -full_scale, full_scale - 1)
    if bits == 24:
        samples <<= 8  # libsndfile takes the upper bits of an int32
    data = io.BytesIO()
    soundfile.write(data, samples, sample_rate, format=container, subtype=f"PCM_{bits}")
    return data.getvalue()
