"""Fingerprints of clips: a digest of equal samples, and the codes by which the same sound is recognised."""

import base64
import hashlib

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio

RATE = 6000  # Hz; telephone speech still has all of it
WIN_LENGTH = 2048  # 341 ms
HOP_LENGTH = 72  # 12 ms
BAND_EDGES_HZ = np.geomspace(300.0, 2800.0, 34)  # to 2 kHz in the paper; more tells takes of one word apart
QUIET_DB = -40.0  # frames this far below the loudest say more about the codec or the noise than about the recording
SILENT_DB = -90.0  # ... and below this, against a full-scale sine, nothing at all


def pcm_sha256(x: Audio) -> str:
    """Return a digest of the samples as 16-bit integers, equal for a WAV file and its FLAC.

    Shapes: x (N,), full scale +-1.

    >>> pcm_sha256(np.zeros(0, np.float32))[:8]
    'e3b0c442'
    """
    samples = np.clip(np.rint(x * 32768.0), -32768, 32767).astype("<i2")
    return hashlib.sha256(samples.tobytes()).hexdigest()


def fingerprint(x: Audio, *, sample_rate: int) -> NDArray[np.uint32]:
    """Return one 32-bit code per 12 ms: whether the energy step from band to band grows from frame to frame.

    Source: Haitsma & Kalker 2002, section 4.2.
    Departs: a frame without energy has code 0, which matches nothing.
    Shapes: x (N,) -> (T,); frame t is centred at (t + 1) * 12 ms.

    >>> fingerprint(np.zeros(600, np.float32), sample_rate=6000).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0]
    """
    x = resample(x, sample_rate, RATE)
    x = np.pad(x, WIN_LENGTH // 2)
    window = np.hanning(WIN_LENGTH).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x, WIN_LENGTH)[::HOP_LENGTH]
    edges = np.rint(BAND_EDGES_HZ * WIN_LENGTH / RATE).astype(int)
    energy = np.concatenate([_band_energy(frames[i : i + 1024] * window, edges) for i in range(0, len(frames), 1024)])
    step = np.diff(energy, axis=1)  # (T, 32)
    bits = np.packbits(np.diff(step, axis=0) > 0, axis=1)
    codes = bits.view(">u4")[:, 0].astype(np.uint32)
    level = energy[1:].sum(axis=1)
    full_scale = (window.sum() / 2) ** 2
    floor = max(level.max(initial=0.0) * 10 ** (QUIET_DB / 10), full_scale * 10 ** (SILENT_DB / 10))
    return np.where(level >= floor, np.maximum(codes, 1), 0).astype(np.uint32)


def _band_energy(frames: Audio, edges: NDArray[np.int_]) -> Audio:
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    return np.add.reduceat(power, edges, axis=1)[:, :-1]


def to_text(codes: NDArray[np.uint32]) -> str:
    """Return a fingerprint as base64 of little-endian integers, for JSON.

    >>> from_text(to_text(np.uint32([1, 2**32 - 1]))).tolist()
    [1, 4294967295]
    """
    return base64.b64encode(codes.astype("<u4").tobytes()).decode()


def from_text(text: str) -> NDArray[np.uint32]:
    """Return the fingerprint that `to_text` wrote."""
    return np.frombuffer(base64.b64decode(text), "<u4")
