"""Means over clips with their intervals, and tests of one set of clips against another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2000  # of the bootstrap
CONFIDENCE = 0.95
SIGNIFICANT_P = 0.05

Column = NDArray[np.float64]
"""One value a clip, NaN where it was not measured."""


def mean(column: Column) -> tuple[int, int, float | None, float | None, float | None]:
    """Return the number of clips, of those not scored, the mean, and its 95 % confidence interval.

    The mean is None if nothing was scored, the interval if fewer than two clips were.

    Source: percentile bootstrap over clips, with the same resamples each time; its bounds are moved away from the mean
    by what few clips know too little of their spread (Hesterberg 2015, "What Teachers Should Know About the Bootstrap",
    section 5.3): as they are, they hold the mean in half of all cases for 2 clips, in 86 % for 5.
    """
    scored = column[np.isfinite(column)]
    counts = column.size, column.size - scored.size
    if scored.size == 0:
        return *counts, None, None, None
    if scored.size == 1:  # nothing is known of the spread
        return *counts, float(scored[0]), None, None
    interval = stats.bootstrap(
        (scored,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",  # BCa has no answer where all values are equal
        random_state=np.random.default_rng(0),
    ).confidence_interval
    middle, n = float(scored.mean()), scored.size
    upper = (1 + CONFIDENCE) / 2
    widened = np.sqrt(n / (n - 1)) * stats.t.ppf(upper, n - 1) / stats.norm.ppf(upper)
    low, high = (middle + widened * (bound - middle) for bound in (interval.low, interval.high))
    return *counts, middle, float(low), float(high)


def wilcoxon(a: Column, b: Column) -> tuple[int, float | None, float | None]:
    """Return the number of clips that both columns have, and statistic and p of Wilcoxon's signed-rank test.

    None for both if no pair differs.
    """
    difference = (a - b)[np.isfinite(a - b)]
    if not np.any(difference):
        return difference.size, None, None
    result = stats.wilcoxon(difference)
    return difference.size, float(result.statistic), float(result.pvalue)


def anova(groups: Sequence[Column]) -> tuple[int, float | None, float | None, float | None]:
    """Return the number of values, and F, p and critical F of a one-way analysis of variance.

    None for all three if there is one group, one is empty, or no group varies.
    """
    groups = [group[np.isfinite(group)] for group in groups]
    count = sum(group.size for group in groups)
    if len(groups) < 2 or not all(group.size for group in groups) or not any(np.ptp(group) for group in groups):
        return count, None, None, None
    result = stats.f_oneway(*groups)
    critical = stats.f.ppf(1 - SIGNIFICANT_P, len(groups) - 1, count - len(groups))
    return count, float(result.statistic), float(result.pvalue), float(critical)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number; None, where nothing differed, counts as a test too.

    Source: Holm 1979.

    >>> holm([0.01, 0.04, None])
    [0.03, 0.08, None]
    """
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, at in enumerate(sorted((at for at, p in enumerate(ps) if p is not None), key=lambda at: ps[at])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[at]))
        corrected[at] = largest
    return corrected
