"""Means over trainings and utterances, whose intervals cover both: another seed, and other sentences."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.statistics import CONFIDENCE

RESAMPLES = 10_000  # so that p can fall to 0.0002, which Holm's correction multiplies

Table = NDArray[np.float64]
"""(S, U): a value of each training and utterance, NaN where it was not measured."""


class Estimate(NamedTuple):
    """A mean, its 95 % interval, and the p of a mean of zero; None where nothing is known, or nothing of the spread."""

    mean: float | None
    low: float | None
    high: float | None
    p: float | None


def estimate(values: Table) -> Estimate:
    """Return the mean over all trainings and utterances of what was measured, and how far it can be trusted.

    Trainings and utterances are crossed: every training speaks every utterance. So the bootstrap has two levels that
    are drawn apart. Utterances are resampled. Trainings are too few for that: the bootstrap over three values has an
    interval that covers the mean in three of four cases. Their level is drawn from the distribution that the mean of
    S normal values has, Student's t with S - 1 degrees of freedom times its standard error. With one training its level
    is left out, and the interval covers utterances alone.

    An utterance counts if every training of it was measured.

    Source: Owen 2007, "The pigeonhole bootstrap", of two crossed levels.
    Departs: the level of trainings, as said; the level of utterances is widened by the root of U / (U - 1), so that its
    variance has no bias, and drawn with the doubt in that variance, as Student's t with U - 1 degrees of freedom has
    it. Else two utterances that agree in sign, as half of all pairs do by chance, have an interval without zero.
    Shapes: (S, U).
    """
    complete = values[:, np.isfinite(values).all(0)]
    n_seeds, n_utterances = complete.shape
    if not complete.size:
        return Estimate(None, None, None, None)
    mean = float(complete.mean())
    if n_utterances == 1:
        return Estimate(mean, None, None, None)
    off = complete.mean(0) - mean
    drawn = _shares(n_utterances) @ off * np.sqrt(n_utterances / (n_utterances - 1)) * _doubt(n_utterances - 1)
    if n_seeds > 1:
        drawn = drawn + _student(n_seeds - 1) * complete.mean(1).std(ddof=1) / np.sqrt(n_seeds)
    means = mean + drawn
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return Estimate(mean, float(low), float(high), float(min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1))))


@cache
def _shares(n_utterances: int) -> Table:
    """Return the share of each utterance in each resample, (RESAMPLES, U): the same for all that are compared."""
    counts = np.random.default_rng(0).multinomial(n_utterances, [1 / n_utterances] * n_utterances, size=RESAMPLES)
    return counts / n_utterances


@cache
def _doubt(freedom: int) -> Table:
    """Return draws of a true spread over the one that was measured, (RESAMPLES,)."""
    return np.sqrt(freedom / np.random.default_rng(2).chisquare(freedom, RESAMPLES))


@cache
def _student(freedom: int) -> Table:
    return np.random.default_rng(1).standard_t(freedom, RESAMPLES)
