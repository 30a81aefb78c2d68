"""Statistics of a listening test: means with intervals, signed ranks between systems, preferences."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clean_corpus.pipeline.core.statistics import CONFIDENCE, RESAMPLES, holm, wilcoxon
from clean_corpus.vocoder.listening.exports import Row
from clean_corpus.vocoder.listening.key import Key

Ratings = NDArray[np.float64]
"""(L, U): listeners by utterances."""


class Score(NamedTuple):
    """Mean of a system over listeners and utterances with its interval, None where nothing is known of the spread."""

    system: str
    ratings: int
    mean: float
    low: float | None
    high: float | None


class Comparison(NamedTuple):
    """Wilcoxon's signed ranks over the utterances' means of two systems; p_holm is corrected for all pairs."""

    system: str
    against: str
    utterances: int
    difference: float
    statistic: float | None
    p: float | None
    p_holm: float | None


class Preference(NamedTuple):
    """Choices between two systems; share, interval and the binomial test leave out "no difference"."""

    system: str
    against: str
    preferred: int
    no_difference: int
    against_preferred: int
    share: float | None
    low: float | None
    high: float | None
    p: float | None


def ratings(listeners: Sequence[Mapping[str, Sequence[Row]]], key: Key) -> dict[str, Ratings]:
    """Return system -> ratings (L, U) of complete listeners, utterances in the order of the key."""
    columns = {name: at for at, name in enumerate(key.utterances)}
    tables = {system: np.full((len(listeners), len(columns)), np.nan) for system in key.systems}
    for number, trials in enumerate(listeners):
        for name in key.trials:
            for row in trials[name]:
                system, utterance = key.clips[row.clip]
                tables[system][number, columns[utterance]] = row.rating
    return tables


def score(system: str, table: Ratings) -> Score:
    """Return a system's mean and its interval."""
    return Score(system, table.size, float(table.mean()), *interval(table))


def interval(table: Ratings) -> tuple[float, float] | tuple[None, None]:
    """Return bounds that hold the mean with 95 % confidence, for other listeners and other utterances.

    Of one listener they are for other utterances alone, which the report says.

    Source: percentile bootstrap that draws rows and columns at once (Owen 2007, "The pigeonhole bootstrap").
    Shapes: (L, U) -> low, high; None of a single rating.

    >>> interval(np.array([[3.0, 3.0], [3.0, 3.0]]))
    (3.0, 3.0)
    """
    if table.size == 1:
        return None, None
    rng = np.random.default_rng(0)
    # how often each row and column is drawn, as shares: (R, L) and (R, U)
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in table.shape)
    means = np.einsum("rl,lu,ru->r", rows, table, columns, optimize=True)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(round(low, 12)), float(round(high, 12))


def compare(tables: Mapping[str, Ratings], reference: str | None) -> list[Comparison]:
    """Compare every two systems over the utterances' means; the reference comes second in its pairs."""
    systems = sorted(tables, key=lambda system: system == reference)
    rows = []
    for system, against in combinations(systems, 2):
        difference = tables[system].mean(axis=0) - tables[against].mean(axis=0)
        # means of the same ratings in another order differ by rounding, which is no rank
        difference = np.round(difference, 9)
        count, statistic, p = wilcoxon(difference, np.zeros_like(difference))
        rows.append((system, against, count, float(difference.mean()), statistic, p))
    return [Comparison(*row, p) for row, p in zip(rows, holm([row[-1] for row in rows]), strict=True)]


def preferences(listeners: Sequence[Mapping[str, Sequence[Row]]], key: Key) -> list[Preference]:
    """Count the choices between every two systems, and test the share of the first by a two-sided binomial test.

    The test takes choices for independent, which those of one listener are not quite. Intervals are Clopper-Pearson's.
    """
    systems = sorted(key.systems, key=lambda system: system == key.reference)
    counts = {pair: {1.0: 0, 0.5: 0, 0.0: 0} for pair in combinations(systems, 2)}
    for trials in listeners:
        for name in key.trials:
            choices = {key.clips[row.clip][0]: row.rating for row in trials[name]}
            pair = next(pair for pair in counts if set(pair) == set(choices))
            counts[pair][choices[pair[0]]] += 1
    return [_preference(*pair, *(count[choice] for choice in (1.0, 0.5, 0.0))) for pair, count in counts.items()]


def _preference(system: str, against: str, wins: int, ties: int, losses: int) -> Preference:
    if not wins + losses:
        return Preference(system, against, wins, ties, losses, None, None, None, None)
    result = stats.binomtest(wins, wins + losses)
    bounds = result.proportion_ci(CONFIDENCE, method="exact")
    share = wins / (wins + losses)
    return Preference(
        system, against, wins, ties, losses, share, float(bounds.low), float(bounds.high), float(result.pvalue)
    )
