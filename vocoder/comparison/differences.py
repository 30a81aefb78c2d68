"""Differences between systems of a comparison, paired by training and utterance, and corrected for their number."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clean_corpus.pipeline.core.statistics import SIGNIFICANT_P, holm
from clean_corpus.vocoder.comparison.copy_synthesis import COMMON, OWN
from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, OPINIONS
from clean_corpus.vocoder.comparison.two_levels import Table, estimate

Tables = dict[tuple[str, str | None], dict[str, Table]]
"""(system, frames) -> measure -> (S, U), a value of each training and utterance; one row for audio itself."""

Pair = tuple[str, str]
"""A system, and the one that it is compared with."""


class Difference(NamedTuple):
    """Difference between the vocoders of two systems; `p_holm` is of those that belong to the family."""

    system: str
    against: str
    frames: str
    measure: str
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None = None

    @property
    def better(self) -> bool | None:
        """True if the system is better, False if it is worse, None if neither is shown.

        Within the family, p after Holm's correction shows it; outside, an interval without zero, uncorrected.
        """
        if self.mean is None or self.low is None:
            return None
        shown = not self.low <= 0 <= self.high if self.p_holm is None else self.p_holm < SIGNIFICANT_P
        return (self.mean > 0) != (self.measure in LOWER_IS_BETTER) if shown else None

    @property
    def reach(self) -> float | None:
        """The largest size that the interval holds: of two trainings on the same audio, the noise floor."""
        return None if self.low is None else max(abs(self.low), abs(self.high))


def headlines(found: Tables) -> list[str]:
    """Return the opinions of which there is a value for every vocoder, the one that decides first."""
    spoken = [table for (_, frames), table in found.items() if frames is not None]
    return [m for m in OPINIONS if spoken and all(np.isfinite(table[m]).any() for table in spoken)]


def in_pairs(found: Tables, pairs: Sequence[Pair]) -> list[Difference]:
    """Compare the vocoders of pairs of systems by every measure, from common frames and from their own."""
    return [
        Difference(system, against, frames, measure, *estimate(_paired(found, system, against, frames, measure)))
        for system, against in pairs
        for frames in (COMMON, OWN)
        for measure in MEASURES
    ]


def _paired(found: Tables, system: str, against: str, frames: str, measure: str) -> Table:
    a, b = found[system, frames][measure], found[against, frames][measure]
    n_seeds = min(len(a), len(b))
    return a[:n_seeds] - b[:n_seeds]


def between(found: Tables, pairs: Sequence[Pair], opinions: Sequence[str]) -> list[Difference]:
    """Compare pairs of systems; the family is all pairs by the headline opinions, from common frames.

    Source: Holm 1979, within the family.
    """
    rows = in_pairs(found, pairs)
    family = [i for i, row in enumerate(rows) if row.frames == COMMON and row.measure in opinions]
    for i, corrected in zip(family, holm([rows[i].p for i in family]), strict=True):
        rows[i] = rows[i]._replace(p_holm=corrected)
    return rows
