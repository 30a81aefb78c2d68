"""Probability that a recording of speech is drawn: by its duration, the share of its folder and its own noise."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.core.errors import ConfigError

FRAME = 512  # samples
TOLERANCE = 1e-6  # of shares that sum to 1


def draw_weights(
    speech: Mapping[str, Sequence[Recording]], shares: Mapping[str, float], snr_db: float | None = None
) -> np.ndarray:
    """Return each recording's chance to be drawn: by duration within the share of its folder, or of all others.

    Within a folder, a recording whose SNR falls short of `snr_db` by 10 dB is drawn a third as often.

    Raises: ConfigError if shares are of more than all speech, or of less where no folder is left for the rest.
    """
    weights = {folder: np.array([_weight(r, snr_db) for r in group]) for folder, group in speech.items()}
    rest = sum(x.sum() for folder, x in weights.items() if folder not in shares)
    left = 1 - math.fsum(shares.values())
    if left < -TOLERANCE or (left > TOLERANCE and not speech.keys() - shares.keys()):
        remedy = "lower them" if left < 0 else "raise them, or leave one out for what is left"
        raise ConfigError(f"mix.speech_shares sum to {1 - left:g}, all speech is 1; {remedy}")
    chances = np.concatenate(
        [
            shares.get(folder, max(0.0, left)) * x / (x.sum() if folder in shares else rest)
            for folder, x in weights.items()
        ]
    )
    return chances / chances.sum()


def _weight(recording: Recording, snr_db: float | None) -> float:
    """Return the number of a recording's samples, lowered where its SNR falls short of `snr_db`."""
    length = recording.samples.shape[-1]
    if snr_db is None:
        return length
    return length * 10 ** (min(0.0, estimate_snr_db(np.atleast_2d(recording.samples)[0]) - snr_db) / 20)


def estimate_snr_db(samples: np.ndarray) -> float:
    """Estimate a recording's SNR in dB: the level of its loud frames, speech, over that of its quiet ones, pauses.

    Source: as NIST's STNR, with the 90th and the 10th percentile of frames of 512 samples.
    Shapes: (N,) -> scalar, 0 if there are fewer than ten frames.

    >>> rng = np.random.default_rng(0)
    >>> noise, tone = rng.standard_normal(32000), 100 * np.sin(np.arange(32000)) * (np.arange(32000) // 8000 % 2)
    >>> round(estimate_snr_db(noise + tone)), round(estimate_snr_db(10 * noise + tone))
    (37, 17)
    """
    frames = samples[: len(samples) // FRAME * FRAME].astype(np.float32).reshape(-1, FRAME)
    if len(frames) < 10:
        return 0.0
    quiet, loud = np.percentile(np.mean(np.square(frames), 1), (10, 90))
    return float(10 * np.log10((loud + 1e-2) / (quiet + 1e-2)))
