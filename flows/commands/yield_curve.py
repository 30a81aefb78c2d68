"""`clean-corpus yield`: how many hours each threshold of the gate would keep, from a sample of raw recordings."""

import random
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from clean_corpus.flows import checks
from clean_corpus.flows.commands.parallel import call_in_workers
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Recording, Scores
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.report.plots import YieldRow, gate_thresholds, plot_yield, yield_table


@dataclass(frozen=True)
class YieldCurve:
    """Result of `clean-corpus yield`: one row for each threshold."""

    title: str
    rows: list[YieldRow]


def yield_curve(sample: int, plot: Path, config: RunConfig, console: Console) -> YieldCurve:
    """Score a sample of the raw recordings of config.input and plot the hours that each threshold would keep.

    Raises: ConfigError if a setting needs what is not installed; DataError if no recording of the sample gives a clip.
    """
    checks.require_extras(config)
    recordings = find_all(config.input, exclude=None, s3=config.s3, manifest=config.manifest)
    workers = config.engine.workers or usable_cores()
    drawn = random.Random(0).sample(recordings, min(sample, len(recordings)))
    scores: dict[str, list[float]] = {}
    durations_s: list[float] = []
    unusable = 0
    for _, clips in call_in_workers("score", drawn, "recordings", workers, console, _score_clips, config):
        if isinstance(clips, WorkerDied) or not clips:
            unusable += 1
            continue
        for duration_s, row in clips:
            durations_s.append(duration_s)
            for name, value in row.items():
                scores.setdefault(name, []).append(float("nan") if value is None else value)
    if not durations_s:
        raise DataError(f"{config.input}: none of {len(drawn)} recordings drawn gives a clip to score")
    limits = gate_thresholds(config.gate.model_dump())
    plot_yield(scores, durations_s, limits, plot)
    title = (
        f"{len(drawn)} of {len(recordings)} recordings sampled: {len(durations_s)} clips, "
        f"{sum(durations_s) / 3600:.3g} h, {unusable} not usable; raw scores, one threshold at a time"
    )
    return YieldCurve(title, yield_table(scores, durations_s, limits))


def _score_clips(recording: Recording, config: RunConfig) -> list[tuple[float, Scores]]:
    """Cut and score one recording in a worker; return the duration in seconds and the scores of each clip.

    A recording that cannot be had has none.
    """
    from clean_corpus.flows.worker_functions import scorer
    from clean_corpus.pipeline.corpus.score import score_clips

    with local_group(config.input, [recording], config.s3) as (folder, [local_recording]):
        ruler = scorer(config.segment.speech_threshold, config.score)
        try:
            return score_clips(local_recording, folder, ruler, config)
        except DataError:
            return []
