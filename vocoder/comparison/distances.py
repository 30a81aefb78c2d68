"""Distances between a vocoder's speech and the recording its frames came from: spectrum, pitch, voicing.

Both signals are sample-aligned rows at one rate; frames are 25 ms every 5 ms.
"""

from dataclasses import dataclass
from functools import cache

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from clean_corpus.pipeline.core.compiled import compile_lock
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio

WINDOW_S, HOP_S = 0.025, 0.005
BANDS, CEPSTRA = 80, 24
FLOOR_DB = 60.0  # below the mean power of the reference; both distances take weaker power for silence
AUDIBLE_DB = 40.0  # below the reference's loudest frame; weaker frames do not count
F0_RANGE_HZ = (60.0, 420.0)

Frames = NDArray[np.float64]


def mel_cepstral_distortion_db(estimate: Audio, reference: Audio, sample_rate: int) -> float:
    """Return the mean distance of mel cepstra 1 to 24 over the frames in which the reference is audible.

    Source: Kubichek 1993: 10 sqrt(2) / ln 10 times the Euclidean distance of cepstra.
    Departs: cepstra are the cosine series of 80 log-mel magnitudes, not of a mel-generalised analysis; frames are not
    warped, because copy synthesis keeps time. A gain changes only cepstrum 0, which is left out.
    Shapes: (N,) twice -> dB.
    Raises: DataError if the lengths differ or the reference is silent.
    """
    powers, audible = _powers(estimate, reference, sample_rate)
    bands = _bands(sample_rate, powers.shape[2])
    # log magnitude = c0 + 2 sum of c_d cos(d w), so c_d is the mean over bands of log magnitude times cosine
    cepstra = dct(0.5 * np.log(powers @ bands), axis=2)[:, :, 1 : CEPSTRA + 1] / (2 * BANDS)
    distance = np.sqrt(np.square(cepstra[0] - cepstra[1]).sum(1))
    return float(10 * np.sqrt(2) / np.log(10) * distance[audible].mean())


def log_spectral_distance_db(estimate: Audio, reference: Audio, sample_rate: int) -> float:
    """Return the mean over audible frames of the root mean square difference of the power spectra in dB.

    Source: Gray & Markel 1976, with p = 2.
    Shapes: (N,) twice -> dB.
    Raises: DataError if the lengths differ or the reference is silent.
    """
    powers, audible = _powers(estimate, reference, sample_rate)
    difference = 10 * np.log10(powers[0] / powers[1])
    return float(np.sqrt(np.square(difference).mean(1))[audible].mean())


@dataclass(frozen=True)
class Melody:
    """Errors of F0 where both are voiced (None if nowhere), and of voicing, as the share of frames that disagree."""

    f0_rmse_hz: float | None
    voicing_error: float


def melody(estimate: Audio, reference: Audio, sample_rate: int) -> Melody:
    """Compare the pitch tracks of both by pYIN, over the frames in which the reference is audible.

    Source: Mauch & Dixon 2014, by librosa.
    Shapes: (N,) twice.
    Raises: DataError if the lengths differ or the reference is silent.
    """
    _, audible = _powers(estimate, reference, sample_rate)
    low, high = F0_RANGE_HZ
    sizes = {"frame_length": 2 ** int(np.log2(0.064 * sample_rate)), "hop_length": round(HOP_S * sample_rate)}
    tracks = []
    for x in (estimate, reference):
        _compile(x.dtype)
        f0, voiced, _ = librosa.pyin(x, fmin=low, fmax=high, sr=sample_rate, **sizes)
        tracks.append((f0, voiced))
    n = min(len(audible), *(len(f0) for f0, _ in tracks))
    (f0_est, voiced_est), (f0_ref, voiced_ref) = ((f0[:n], voiced[:n]) for f0, voiced in tracks)
    audible = audible[:n]
    both = voiced_est & voiced_ref & audible
    error = float(np.sqrt(np.square(f0_est[both] - f0_ref[both]).mean())) if both.any() else None
    return Melody(error, float((voiced_est != voiced_ref)[audible].mean()))


@cache
def _compile(dtype: np.dtype) -> None:
    """Have what librosa compiles for pYIN compiled, or loaded, while no other process of this user does so."""
    with compile_lock():
        librosa.pyin(np.sin(np.arange(4096)).astype(dtype), fmin=F0_RANGE_HZ[0], fmax=F0_RANGE_HZ[1], sr=16000)


def _powers(estimate: Audio, reference: Audio, sample_rate: int) -> tuple[Frames, NDArray[np.bool_]]:
    """Return the floored power spectra of both (2, T, F), and the frames in which the reference is audible (T,)."""
    if estimate.shape != reference.shape or estimate.ndim != 1:
        raise DataError(f"estimate {estimate.shape} and reference {reference.shape}: must be rows of equal length")
    if not np.any(reference):
        raise DataError(f"reference of {len(reference)} samples is silent: nothing to compare with")
    n = round(WINDOW_S * sample_rate)
    n_fft = 2 ** int(np.ceil(np.log2(n)))
    spectra = [
        librosa.stft(x, n_fft=n_fft, win_length=n, hop_length=round(HOP_S * sample_rate), pad_mode="constant").T
        for x in (estimate.astype(np.float64), reference.astype(np.float64))
    ]
    powers = np.square(np.abs(np.stack(spectra)))
    floor = powers[1].mean() * 10 ** (-FLOOR_DB / 10)
    energy = powers[1].sum(1)
    return np.maximum(powers, floor), energy > energy.max() * 10 ** (-AUDIBLE_DB / 10)


@cache
def _bands(sample_rate: int, n_freq: int) -> Frames:
    """Return the mel filters, (n_freq, BANDS)."""
    return librosa.filters.mel(sr=sample_rate, n_fft=2 * (n_freq - 1), n_mels=BANDS, dtype=np.float64).T
