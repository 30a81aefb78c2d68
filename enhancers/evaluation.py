"""Comparison of systems on noisy/clean pairs: measures of a clip; means, intervals and tests over clips."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import toeplitz

from clean_corpus.enhancers.pairs import RATE, Condition, Pair, conditions
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.statistics import anova, mean, wilcoxon
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import composite, distillmos, dnsmos, scorer, signal_measures

NOISY = "noisy"  # the unprocessed speech, first in every table
SDR_TAPS = 512


class Metric(NamedTuple):
    """A measure, of which higher is better: its description, and its digits after the point in print."""

    about: str
    digits: int


METRICS: dict[str, Metric] = {
    "pesq_nb": Metric("PESQ narrow-band, raw P.862, -0.5 to 4.5, as papers [000] to [003] print it", 2),
    "pesqi": Metric("PESQI: narrow-band PESQ above that of the noisy speech, raw P.862, as paper [002] prints it", 2),
    "pesq_nb_lqo": Metric("PESQ narrow-band, MOS-LQO of P.862.1, 1.02 to 4.55", 2),
    "pesq_wb": Metric("PESQ wide-band, MOS-LQO of P.862.2, 1.04 to 4.64, as paper [004] prints it", 2),
    "stoi": Metric("short-time objective intelligibility, 0 to 1", 3),
    "estoi": Metric("extended STOI, 0 to 1", 3),
    "si_sdr_db": Metric("scale-invariant signal-to-distortion ratio, dB", 2),
    "sdr_db": Metric("signal-to-distortion ratio of BSS-eval, any filter of 512 taps allowed, dB", 2),
    "global_snr_db": Metric("signal-to-noise ratio over the whole clip, dB", 2),
    "segmental_snr_db": Metric("segmental SNR, dB", 2),
    "fw_segmental_snr_db": Metric("frequency-weighted segmental SNR, dB", 2),
    "csig": Metric("composite opinion of the speech, 1 to 5", 2),
    "cbak": Metric("composite opinion of the background, 1 to 5", 2),
    "covl": Metric("composite opinion of the whole, 1 to 5", 2),
    "dnsmos_sig": Metric("DNSMOS P.835 of the speech, MOS 1 to 4.01", 2),
    "dnsmos_bak": Metric("DNSMOS P.835 of the background, MOS 1 to 4.36", 2),
    "dnsmos_ovrl": Metric("DNSMOS P.835 of the whole, MOS 1 to 3.93", 2),
    "dnsmos_p808": Metric("DNSMOS P.808, MOS 1 to 5", 2),
    "distillmos": Metric("DistillMOS, naturalness, MOS 1 to 5", 2),
}
OPTIONAL = ("distillmos",)
"""The last of METRICS, which only a ruler of an extra measures."""


IMPROVEMENTS = {"pesqi": "pesq_nb"}
"""Measures that are another one's gain over the noisy speech, clip by clip."""


def metrics(naturalness: bool) -> list[str]:
    """Return the names of METRICS, the optional ones only where they are measured."""
    return [name for name in METRICS if naturalness or name not in OPTIONAL]


def with_improvements(scores: Mapping[str, Sequence[Scores]]) -> dict[str, list[Scores]]:
    """Return the scores of each system's clips with `IMPROVEMENTS`, 0 for the noisy speech itself.

    Source: paper [002], section IV-A, Metrics (PESQI).
    Shapes: system -> a row for each clip, in one order, `NOISY` among the systems.
    """

    def gain(score: float | None, before: float | None) -> float | None:
        return None if score is None or before is None else score - before

    return {
        system: [
            row | {name: gain(row[of], noisy[of]) for name, of in IMPROVEMENTS.items()}
            for row, noisy in zip(rows, scores[NOISY], strict=True)
        ]
        for system, rows in scores.items()
    }


class Summary(NamedTuple):
    """Mean of a measure over the clips of a condition, with its bootstrap interval; None if nothing was scored."""

    metric: str
    condition: Condition
    system: str
    clips: int
    not_scored: int
    mean: float | None
    low: float | None
    high: float | None


class Comparison(NamedTuple):
    """Result of a test of one system against another, or of all together where `against` is "all".

    `critical` is the F that chance exceeds in 5 % of cases, None for Wilcoxon's test.
    """

    metric: str
    condition: Condition
    test: str
    system: str
    against: str
    clips: int
    statistic: float | None
    p: float | None
    critical: float | None


Values = Mapping[str, NDArray[np.float64]]
"""System -> (clips, metrics), NaN where not scored; clips in one order, metrics as METRICS or without OPTIONAL."""


class PairScorer:
    """Scorer of estimates against clean versions, by all measures; one per process, as it holds DNSMOS's networks."""

    def __init__(self, *, naturalness: bool = False) -> None:
        self._dnsmos = dnsmos.Dnsmos("speechmos")  # as published figures
        self._distillmos = distillmos.DistillMos() if naturalness else None

    def score(self, estimate: Audio, clean: Audio) -> Scores:
        """Return scores by all `metrics` but IMPROVEMENTS, None where one cannot be measured (silence, too short).

        Shapes: (N,) samples at 16 kHz twice.
        Raises: DataError if the lengths differ.
        """
        if estimate.shape != clean.shape:
            raise DataError(f"estimate has {estimate.size} samples, its clean version {clean.size}")
        values = dict.fromkeys(metrics(self._distillmos is not None), float("nan"))
        if np.any(clean):
            values |= _against_clean(estimate, clean)
        if np.any(estimate) and estimate.size >= scorer.MIN_S * RATE:
            values |= self._dnsmos(estimate / max(1.0, float(np.abs(estimate).max())))
            if self._distillmos:
                values["distillmos"] = self._distillmos(estimate)
        return {
            name: float(value) if np.isfinite(value) else None
            for name, value in values.items()
            if name not in IMPROVEMENTS
        }


def _against_clean(estimate: Audio, clean: Audio) -> dict[str, float]:
    """Return all measures that need the clean version."""
    pesq_nb, pesq_wb = scorer.pesq_lqo(estimate, clean, "nb"), scorer.pesq_lqo(estimate, clean, "wb")
    segmental_snr_db = composite.segmental_snr_db(estimate, clean, RATE)
    opinions = composite.composite(
        pesq=pesq_wb,
        llr=composite.log_likelihood_ratio(estimate, clean, RATE),
        wss=composite.weighted_spectral_slope(estimate, clean, RATE),
        segmental_snr_db=segmental_snr_db,
    )
    return {
        "pesq_nb": raw_pesq(pesq_nb),
        "pesq_nb_lqo": pesq_nb,
        "pesq_wb": pesq_wb,
        "stoi": scorer.stoi(estimate, clean, extended=False),
        "estoi": scorer.stoi(estimate, clean, extended=True),
        "si_sdr_db": signal_measures.si_sdr_db(estimate, clean),
        "sdr_db": sdr_db(estimate, clean),
        "global_snr_db": signal_measures.global_snr_db(estimate, clean),
        "segmental_snr_db": segmental_snr_db,
        "fw_segmental_snr_db": composite.fw_segmental_snr_db(estimate, clean, RATE),
        **opinions._asdict(),
    }


def raw_pesq(mos_lqo: float) -> float:
    """Return the narrow-band score before its mapping to an opinion score.

    Source: ITU-T P.862.1, equation 2, the inverse.

    >>> round(raw_pesq(0.999 + 4 / (1 + np.exp(-1.4945 * 2.5 + 4.6607))), 6)
    2.5
    """
    return float((4.6607 - np.log(4.0 / (mos_lqo - 0.999) - 1.0)) / 1.4945)


def sdr_db(estimate: Audio, reference: Audio) -> float:
    """Return the signal-to-distortion ratio: the part that a filter of 512 taps makes of the reference, over the rest.

    Source: Vincent et al., IEEE TASLP 14(4), 2006; with one source there is no interference, and the rest is artefact.
    Departs: limited to +-100 dB; nan if a signal is silent. Own code, since mir_eval drops its separation module.
    Shapes: (N,) twice -> dB.

    >>> x = np.random.default_rng(0).standard_normal(8000)
    >>> sdr_db(np.convolve(x, [0.5, 0.3, -0.2])[:8000], x) > 40  # a filter is no distortion, but its truncated tail is
    True
    """
    reference, estimate = reference.astype(np.float64), np.pad(estimate.astype(np.float64), (0, SDR_TAPS - 1))
    if not (np.any(reference) and np.any(estimate)):
        return float("nan")
    lags = signal.correlate(np.pad(reference, (0, SDR_TAPS - 1)), reference, "valid")
    cross = signal.correlate(estimate, reference, "valid")
    try:
        taps = np.linalg.solve(toeplitz(lags), cross)
    except np.linalg.LinAlgError:  # a reference of a few tones
        taps = np.linalg.lstsq(toeplitz(lags), cross)[0]
    target = signal.fftconvolve(reference, taps)
    with np.errstate(divide="ignore"):
        ratio_db = 10 * np.log10(np.sum(np.square(target)) / np.sum(np.square(estimate - target)))
    return float(np.clip(ratio_db, -signal_measures.RATIO_LIMIT_DB, signal_measures.RATIO_LIMIT_DB))


def summarise(values: Values, pairs: Sequence[Pair]) -> list[Summary]:
    """Return the mean of every measure in every condition for every system."""
    return [
        Summary(metric, condition, system, *mean(columns[system]))
        for metric, condition, columns in _columns(values, pairs)
        for system in values
    ]


def compare(values: Values, pairs: Sequence[Pair]) -> list[Comparison]:
    """Test systems against each other, in every measure and condition.

    "wilcoxon" is the signed-rank test of each system against the noisy speech and against the first system, clip by
    clip. "anova" is the one-way analysis of variance of the first against each, and of all together; it treats the
    clips of two systems as independent, whereas signed ranks use that they are the same clips.

    Source: paper [000], tables VII and VIII, for the analysis of variance.
    """
    first = next((system for system in values if system != NOISY), NOISY)
    duels = [(system, against) for against in (NOISY, first) for system in values if system not in (NOISY, against)]
    tests = []
    for metric, condition, columns in _columns(values, pairs):
        for system, against in duels:
            result = wilcoxon(columns[system], columns[against])
            tests.append(Comparison(metric, condition, "wilcoxon", system, against, *result, None))
        for against in (system for system in values if system != first):
            result = anova([columns[first], columns[against]])
            tests.append(Comparison(metric, condition, "anova", first, against, *result))
        tests.append(Comparison(metric, condition, "anova", first, "all", *anova(list(columns.values()))))
    return tests


def _columns(values: Values, pairs: Sequence[Pair]) -> Iterator[tuple[str, Condition, dict[str, NDArray[np.float64]]]]:
    """Yield each measure in each condition with every system's values."""
    parts = conditions(pairs)
    columns = min(table.shape[1] for table in values.values())
    for index, metric in enumerate([*METRICS][:columns]):
        for condition, chosen in parts.items():
            yield metric, condition, {system: table[chosen, index] for system, table in values.items()}
