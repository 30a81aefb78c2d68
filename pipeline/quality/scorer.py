"""All scores of a clip, what each means, the highest value it can have, and the ruler that measures it."""

import math
import warnings
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from clean_corpus.pipeline.audio import loudness, voice_activity
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import distillmos, dnsmos, signal_measures

SCORES: dict[str, str] = {
    "dnsmos_sig": "DNSMOS P.835, quality of the speech itself, MOS 1 to 4.01",
    "dnsmos_bak": "DNSMOS P.835, absence of background, MOS 1 to 4.36",
    "dnsmos_ovrl": "DNSMOS P.835, overall quality, MOS 1 to 3.93",
    "dnsmos_p808": "DNSMOS P.808, overall quality, MOS 1 to 5",
    "distillmos": "DistillMOS, naturalness of the whole, MOS 1 to 5, where `score.distillmos` is on",
    "snr_db": "estimated ratio of speech to background, -10 to 60 dB",
    "clipping_ratio": "share of samples cut off at the clip's ceiling, before it is levelled, 0 to 1",
    "bandwidth_hz": "highest frequency that carries sound, 0 to half the sample rate, Hz",
    "speech_ratio": "share of the time that is speech, 0 to 1",
    "loudness_lufs": "integrated loudness before it is levelled, -70 to about 0 LUFS",
    "pesq_wb": "PESQ wide-band against the clean reference, MOS-LQO 1.04 to 4.64",
    "stoi": "short-time intelligibility against the clean reference, 0 to 1",
    "si_sdr_db": "scale-invariant signal to distortion against the clean reference, -100 to 100 dB",
}

RATE = dnsmos.RATE  # Hz, of PESQ and STOI too
MIN_S = 0.1  # a shorter clip holds no syllable, and DNSMOS would hear its repetition as a buzz
PESQ_S = 20.0  # of a signal that PESQ takes whole: 50 utterances, each of 200 ms and as long apart, last as long
MIN_STOI_S = 0.4  # STOI correlates stretches of 384 ms

CEILINGS: dict[str, float] = {
    # raw outputs are opinions up to 5, below the vertex of each polynomial: 4.01, 4.36 and 3.93
    **{name: round(float(np.polyval(polynomial, 5.0)), 4) for name, polynomial in dnsmos.P835_POLYNOMIALS.items()},
    "dnsmos_p808": 5.0,
    "distillmos": distillmos.CEILING,
    "snr_db": signal_measures.SNR_LIMITS_DB[1],
    "clipping_ratio": 1.0,
    "speech_ratio": 1.0,
    "pesq_wb": round(0.999 + 4.0 / (1.0 + math.exp(-1.3669 * 4.5 + 3.8224)), 4),  # P.862.2, raw PESQ of 4.5
    "stoi": 1.0,
    "si_sdr_db": signal_measures.RATIO_LIMIT_DB,
}
"""Score name -> the highest value its ruler can give; bandwidth_hz is left out, half of any sample rate."""

OPTIONAL = ("distillmos",)
"""Scores that only a ruler of an extra measures, where the settings want it."""

_PACKAGES = {"loudness": "pyloudnorm", "pesq": "pesq", "stoi": "pystoi", "resampler": "soxr"}


@cache
def rulers(windows: dnsmos.Windows, *, naturalness: bool = False) -> dict[str, str]:
    """Return what measures each score: package and version, for opinions the hash of the network and its windows too.

    `naturalness` is whether DistillMOS is among them.
    """
    packages = {name: f"{package} {version(package)}" for name, package in _PACKAGES.items()}
    if naturalness:
        packages["distillmos"] = distillmos.ruler()
    return {**dnsmos.rulers(windows), "speech": voice_activity.VAD_VERSION, **packages}


class Measured(NamedTuple):
    """A clip's scores but for the opinions of networks, which hear `audible`; None for one that they cannot judge.

    Shapes: audible (N,) at RATE.
    """

    values: dict[str, float | None]
    audible: Audio | None


class Scorer:
    """Measure all scores of a clip, of OPTIONAL those that are asked for; one per process: it holds the networks."""

    def __init__(self, *, speech_threshold: float, dnsmos_windows: dnsmos.Windows, naturalness: bool = False) -> None:
        self._speech_threshold, self._naturalness = speech_threshold, naturalness
        self._dnsmos = dnsmos.Dnsmos(dnsmos_windows)
        self._distillmos = distillmos.DistillMos() if naturalness else None

    def score(self, x: Audio, *, sample_rate: int, clean: Audio | None = None, own: Scores | None = None) -> Scores:
        """Return a value for every score; None if it cannot be measured (silence, too short, no reference).

        `own` are the scores of the level that a clip came with, `own_level`, in place of those of x.
        Shapes: x (N,) samples at sample_rate, clean (N,).
        Raises: DataError if the clean reference's length is another; ValueError if x is not a row of samples.
        """
        threshold, naturalness = self._speech_threshold, self._naturalness
        found = measured(x, sample_rate, clean, own, speech_threshold=threshold, naturalness=naturalness)
        if found.audible is not None:
            found.values.update(self._dnsmos(loudness.within_full_scale(found.audible)))
            if self._distillmos:
                found.values["distillmos"] = self._distillmos(found.audible)
        return rounded(found.values)


def measured(
    x: Audio,
    sample_rate: int,
    clean: Audio | None,
    own: Scores | None,
    *,
    speech_threshold: float,
    naturalness: bool,
) -> Measured:
    """Return all scores of a clip that no network of opinions gives, and place for those.

    Shapes: x (N,) samples at sample_rate, clean (N,).
    Raises: as Scorer.score.
    """
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"expected samples of shape (N,), N > 0, got {x.shape}")
    if clean is not None and clean.shape != x.shape:
        raise DataError(f"clean reference has {clean.size} samples, the clip {x.size}; they must be sample-aligned")
    at_16k = at_scoring_rate(x, sample_rate)  # once for all rulers that live there
    speech = voice_activity.speech_mask(at_16k, speech_threshold, sample_rate=RATE)
    values: dict[str, float | None] = dict.fromkeys(name for name in SCORES if name not in OPTIONAL or naturalness)
    is_audible = at_16k.size >= MIN_S * RATE and np.any(at_16k)
    if is_audible:
        values["snr_db"] = signal_measures.snr_estimate_db(x, speech, sample_rate)
    values["bandwidth_hz"] = signal_measures.effective_bandwidth_hz(x, sample_rate)
    values["speech_ratio"] = float(np.mean(speech))
    values |= own_level(x, sample_rate=sample_rate) if own is None else own
    if clean is not None and np.any(clean):
        clean_at_16k = at_scoring_rate(clean, sample_rate)
        values["pesq_wb"] = pesq_lqo(at_16k, clean_at_16k, "wb")
        values["stoi"] = stoi(at_16k, clean_at_16k, extended=False)
        values["si_sdr_db"] = signal_measures.si_sdr_db(x, clean)
    return Measured(values, at_16k if is_audible else None)


def own_level(x: Audio, *, sample_rate: int) -> Scores:
    """Return the scores that levelling would change or hide: loudness and clipping.

    Shapes: x (N,) samples at sample_rate, at the level that they came with.
    """
    loudness_lufs = loudness.loudness_lufs(x, sample_rate)
    return {"clipping_ratio": _rounded(signal_measures.clipping_ratio(x)), "loudness_lufs": _rounded(loudness_lufs)}


def at_scoring_rate(x: Audio, sample_rate: int) -> Audio:
    """Resample a clip to RATE, (N,) -> (N,)."""
    return resample(x, sample_rate, RATE)


def rounded(values: dict[str, float | None]) -> Scores:
    """Return scores as the ledger holds them."""
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: float | None) -> float | None:
    """Round to six significant digits, so that a score is the same text on every machine; None if not finite.

    >>> _rounded(np.float32(1 / 3)), _rounded(math.nan)
    (0.333333, None)
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def pesq_lqo(estimate: Audio, reference: Audio, mode: str) -> float:
    """Return PESQ by package pesq: MOS-LQO of P.862.1 (nb) or P.862.2 (wb); nan without speech or estimate.

    Departs: of a signal longer than `PESQ_S` it is the mean over equal stretches of that length at most, those without
    speech left out: the code of P.862 has place for 50 utterances, and writes beyond it, to a wrong score or a crash.
    Shapes: (N,) samples at 16 kHz twice.
    """
    count = max(1, math.ceil(reference.size / (PESQ_S * RATE)))
    stretches = zip(np.array_split(estimate, count), np.array_split(reference, count), strict=True)
    found = [value for part in stretches if not math.isnan(value := _pesq_of_stretch(*part, mode))]
    return sum(found) / len(found) if found else float("nan")


def _pesq_of_stretch(estimate: Audio, reference: Audio, mode: str) -> float:
    import pesq

    if not np.any(estimate):
        return float("nan")
    try:
        return pesq.pesq(RATE, reference, estimate, mode)
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return float("nan")


def stoi(estimate: Audio, reference: Audio, *, extended: bool) -> float:
    """Return STOI by package pystoi; nan if under 384 ms are left without the pauses.

    Shapes: (N,) samples at 16 kHz twice.
    """
    import pystoi

    if reference.size < MIN_STOI_S * RATE:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # too little is left: 1e-5 and a warning
        try:
            return float(pystoi.stoi(reference, estimate, RATE, extended=extended))
        except RuntimeWarning:
            return float("nan")
