"""Time that the gate would keep at each threshold of the ranking score, with and without enhancement."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.types import Scores, Verdict, Version
from clean_corpus.pipeline.quality.gate import decide
from clean_corpus.pipeline.report import plots
from clean_corpus.pipeline.report.counts import Sample
from clean_corpus.pipeline.report.listening_picks import RANKED_BY

ROWS_AT_ONCE = 10_000  # of which Python numbers are in memory


def yield_curve(sample: Sample, gate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return time kept against the threshold, all other checks of the gate and its guard as they are.

    None if no clip has the ranking score; without enhanced clips, the time of raw ones alone.
    """
    score = sample.scores.get(RANKED_BY)
    if score is None or not score.measured:
        return None
    threshold = plots.gate_thresholds(gate)[RANKED_BY]
    which: tuple[Version, ...] = ("raw", "enhanced") if np.isfinite(score.after).any() else ("raw",)
    values = {version: _gated(sample, gate, version) for version in which}
    undecided = np.where(np.isnan(score.after), score.before, score.after)
    versions = [sample.chosen == "raw", sample.chosen == "enhanced"]
    published = np.select(versions, [score.before, score.after], undecided)
    grid = plots.axis(np.concatenate([score.before, published]), threshold, 200)
    limit = -np.inf if threshold is None else threshold
    return {
        "svg": plots.yield_svg(RANKED_BY, values, sample.duration_s, threshold, grid),
        "threshold": threshold,
        "seconds": {
            version: 3600 * plots.hours_kept(RANKED_BY, value, sample.duration_s, [limit])[0]
            for version, value in values.items()
        },
    }


def _gated(sample: Sample, gate: Mapping[str, Any], version: Version) -> NDArray[np.float64]:
    """Return the ranking score that the gate reads with or without enhancement; NaN where another check rejects."""
    open_gate = GateConfig.model_validate({**gate, f"{RANKED_BY}_min": None})
    # Duplicates and the like end before the gate: no threshold brings them back.
    reached = (sample.verdict == Verdict.KEPT) | np.isin(sample.reason, [*sample.scores])
    values = np.full(len(reached), np.nan)
    rows = np.flatnonzero(reached)
    raw = _records({name: score.before for name, score in sample.scores.items()}, rows)
    enhanced = _records({name: score.after for name, score in sample.scores.items()}, rows)
    recorded = _records(sample.recorded, rows) if sample.recorded else repeat({})
    for row, before, found, own in zip(rows, raw, enhanced, recorded, strict=False):
        after = before if version == "raw" else found
        decision = decide(before, after, open_gate, {name: value for name, value in own.items() if value is not None})
        if decision.verdict is Verdict.KEPT:
            value = (before if decision.chosen == "raw" else after)[RANKED_BY]
            values[row] = np.nan if value is None else value
    return values


def _records(columns: Mapping[str, NDArray[np.float64]], rows: NDArray[np.intp]) -> Iterator[Scores]:
    """Yield the scores of some rows one after the other; a few thousand at a time become Python numbers."""
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        parts = (values[rows[begin : begin + ROWS_AT_ONCE]] for values in columns.values())
        for record in zip(*(np.where(np.isnan(part), None, part).tolist() for part in parts), strict=True):
            yield dict(zip(columns, record, strict=True))
