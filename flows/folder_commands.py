"""Commands over a plain folder, without flow or server: enhance, score, yield."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import LocalEngine, WorkerDied
from clean_corpus.flows.observe import progress
from clean_corpus.pipeline.core.config import DEFAULT_S3, AudioConfig, SegmentConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording, Scores
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.clean_references import local_references, require_folder
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.report.plots import YieldRow, gate_thresholds, plot_yield, yield_table
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import explain_disk_errors

Item = TypeVar("Item")
GROUP = 8


def each(
    what: str,
    items: Sequence[Item],
    unit: str,
    workers: int,
    console: Console,
    function: Callable[..., Any],
    *args: Any,
) -> Iterator[tuple[Item, Any]]:
    """`function(item, *args)` for every item in worker processes; a worker that dies gives its WorkerDied as result."""
    with LocalEngine(workers) as engine, ThreadPoolExecutor(workers) as threads:

        def call(item: Item) -> Any:
            try:
                return engine.run(function, item, *args)
            except WorkerDied as error:
                return error

        futures = {threads.submit(call, item): item for item in items}
        with progress.stage(console, what, len(items), unit) as advance:
            for future in as_completed(futures):
                advance()
                yield futures[future], future.result()


def _names(recordings: Sequence[Recording]) -> dict[str, str]:
    """Path in -> path out: the suffix becomes .wav; where two files differ in their suffix alone, it is appended."""
    taken: set[str] = set()
    names = {}
    for recording in recordings:
        name = str(Path(recording.path).with_suffix(".wav"))
        if name in taken:
            name = f"{recording.path}.wav"
        taken.add(name)
        names[recording.path] = name
    return names


def enhance(
    source: Location, output: Location, name: str, workers: int, console: Console
) -> tuple[dict[str, str], int]:
    """Denoise every recording below `source` to the same place below `output`; returns failures by name, and a count.

    Raises: ConfigError if there are no such weights or `output` is `source`.
    """
    checkpoints.card(name)
    recordings = find_all(source, exclude=output)
    names = _names(recordings)
    groups = [recordings[i : i + GROUP] for i in range(0, len(recordings), GROUP)]
    failed: dict[str, str] = {}
    done = 0
    for group, result in each(
        "enhance", groups, "groups", workers, console, _enhance_group, source, output, names, name
    ):
        if isinstance(result, WorkerDied):
            result = {recording.source: str(result) for recording in group}
        failed |= result
        done += len(group) - len(result)
    return failed, done


def _enhance_group(
    group: Sequence[Recording], source: Location, output: Location, names: dict[str, str], name: str
) -> dict[str, str]:
    from clean_corpus.flows.worker import enhancer
    from clean_corpus.pipeline.corpus.enhance import enhance_files

    def write(path: str, data: bytes) -> None:
        if isinstance(output, S3Folder):
            open_store(output, DEFAULT_S3).write(names[path], data)
            return
        target = output / names[path]
        with explain_disk_errors(f"output {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    with local_group(source, group, DEFAULT_S3) as (folder, there):
        return enhance_files(there, folder, write, enhancer(name))


def score(
    source: Location, clean: Location | None, workers: int, console: Console
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Scores of every recording below `source` by name, and failures by name.

    Raises: ConfigError if `clean` is given and is not a folder.
    """
    if clean is not None:
        require_folder(clean, "--clean", DEFAULT_S3)
    scores: dict[str, Scores] = {}
    failed: dict[str, str] = {}
    for recording, result in each(
        "score", find_all(source, exclude=None), "recordings", workers, console, _score_file, source, clean
    ):
        if isinstance(result, dict):
            scores[recording.source] = result
        else:
            failed[recording.source] = str(result)
    return dict(sorted(scores.items())), dict(sorted(failed.items()))


def _score_file(recording: Recording, source: Location, clean: Location | None) -> Scores | str:
    from clean_corpus.flows.worker import scorer
    from clean_corpus.pipeline.corpus.score import score_file

    ruler = scorer(SegmentConfig().speech_threshold)
    with local_group(source, [recording], DEFAULT_S3) as (folder, [there]):
        try:
            with local_references(clean, [recording.path], DEFAULT_S3) as twins:
                return score_file(there, folder, twins.get(recording.path), ruler, AudioConfig())
        except DataError as error:
            return str(error)


def means(scores: dict[str, Scores]) -> dict[str, tuple[float, int]]:
    """Mean of each score over the files that have it, and their number."""
    columns: dict[str, list[float]] = {}
    for row in scores.values():
        for name, value in row.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
    return {name: (sum(values) / len(values), len(values)) for name, values in columns.items()}


@dataclass(frozen=True)
class YieldCurve:
    """What `clean-corpus yield` prints."""

    title: str
    rows: list[YieldRow]


def yield_curve(sample: int, plot: Path, config: RunConfig, console: Console) -> YieldCurve:
    """Score a sample of the raw recordings of config.input and plot the hours that each threshold would keep."""
    recordings = find_all(config.input, exclude=None, s3=config.s3)
    workers = config.engine.workers or len(os.sched_getaffinity(0))
    drawn = random.Random(0).sample(recordings, min(sample, len(recordings)))
    scores: dict[str, list[float]] = {}
    durations: list[float] = []
    unread = 0
    for _, clips in each("score", drawn, "recordings", workers, console, _score_clips, config):
        if isinstance(clips, WorkerDied) or not clips:
            unread += 1
            continue
        for duration_s, row in clips:
            durations.append(duration_s)
            for name, value in row.items():
                scores.setdefault(name, []).append(float("nan") if value is None else value)
    limits = gate_thresholds(config.gate.model_dump())
    if not durations:
        raise DataError(f"{config.input}: none of {len(drawn)} recordings drawn gives a clip to score")
    plot_yield(scores, durations, limits, plot)
    title = (
        f"{len(drawn)} of {len(recordings)} recordings sampled: {len(durations)} clips, {sum(durations) / 3600:.3g} h, "
        f"{unread} not usable; raw scores, one threshold at a time"
    )
    return YieldCurve(title, yield_table(scores, durations, limits))


def _score_clips(recording: Recording, config: RunConfig) -> list[tuple[float, Scores]]:
    from clean_corpus.flows.worker import scorer
    from clean_corpus.pipeline.corpus.score import score_clips

    with local_group(config.input, [recording], config.s3) as (folder, [there]):
        return score_clips(there, folder, scorer(config.segment.speech_threshold), config)
