"""`clean-corpus evaluate`: systems compared on a folder of noisy/clean pairs, without flow or server."""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from clean_corpus.enhancers import checkpoints, evaluation
from clean_corpus.enhancers.evaluation import NOISY, PairScorer
from clean_corpus.enhancers.pairs import RATE, Pair, find_pairs, read_names, with_training
from clean_corpus.flows import download_cache
from clean_corpus.flows.commands.evaluation_report import write_evaluation
from clean_corpus.flows.commands.parallel import call_in_workers
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import DecodeConfig, EnhanceConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import distillmos
from clean_corpus.pipeline.storage import staging

if TYPE_CHECKING:
    from clean_corpus.enhancers.serving.enhancer import Enhancer

Job = tuple[str | None, Pair]
"""Weights, or None for the noisy speech as it is, and the pair to score with them."""


def evaluate(
    names: Sequence[str],
    pairs: Location,
    out: Location,
    workers: int,
    console: Console,
    naturalness: bool = False,
    trained_speakers: Location | None = None,
    trained_noises: Location | None = None,
) -> tuple[Location, dict[str, str]]:
    """Enhance and score every pair with every system; return the report's location, and failures by system and clip.

    `names` are shipped names or paths of weights, local or s3://; the others are compared with the first. Writes
    scores.csv, summary.csv, tests.csv, report.md and a PNG for each measure; with `naturalness` DistillMOS is one.
    `trained_speakers` and `trained_noises` are text files of names; given one, pairs are compared by that as well.
    Raises: ConfigError if there are no such weights or pairs, or DistillMOS is not installed; DataError if a pair does
    not fit together.
    """
    if naturalness:
        extras.require(distillmos.PACKAGE, distillmos.EXTRA, "--distillmos")
    trained = [_names(where) if where else None for where in (trained_speakers, trained_noises)]
    weights = _weights_by_system(names)
    with staging.output_folder(out) as folder, staging.local_input(pairs) as root:
        found = with_training(find_pairs(root), *trained)
        jobs = [(name, pair) for name in weights.values() for pair in found]
        results = dict(call_in_workers("evaluate", jobs, "clips", workers, console, _score, naturalness))
        scores: dict[str, list[Scores]] = {system: [] for system in weights}
        failed: dict[str, str] = {}
        for system, name in weights.items():
            for pair in found:
                result = results[name, pair]
                if isinstance(result, str | WorkerDied):
                    failed[f"{system}: {pair.name}"] = str(result)
                    result = dict.fromkeys(evaluation.metrics(naturalness))
                scores[system].append(result)
        path = write_evaluation(evaluation.with_improvements(scores), found, folder)
    return out / path.name, failed


def _names(where: Location) -> frozenset[str]:
    with staging.local_input(where) as path:
        return read_names(path)


def _weights_by_system(names: Sequence[str]) -> dict[str, str | None]:
    """Return loadable weights by the system's name in the tables; the noisy speech as it is has none.

    Raises: ConfigError if there are no such weights, or two systems would have one name.
    """
    weights: dict[str, str | None] = {NOISY: None}
    for name in names:
        loadable = download_cache.weights(name)
        checkpoints.card(loadable)
        if label(name) in weights:
            raise ConfigError(f"system {name!r}: {label(name)!r} is taken already; rename the file or folder")
        weights[label(name)] = loadable
    return weights


def label(name: str) -> str:
    """Return the name of a system in the tables.

    >>> [label(name) for name in ("default-causal", "runs/a", "runs/a/best.safetensors", "runs/b.safetensors")]
    ['default-causal', 'a', 'a', 'b']
    """
    path = Path(name)
    return path.parent.name if path.name == "best.safetensors" else path.name.removesuffix(".safetensors")


def _score(job: Job, naturalness: bool) -> Scores | str:
    """Score a pair in a worker; return why it has no scores where it has none."""
    from clean_corpus.pipeline.corpus.enhance import enhance_clips

    name, pair = job
    try:
        clean, estimate = _read(pair.clean), _read(pair.noisy)
        if name is not None:
            (estimate,) = enhance_clips([estimate], _network(name), EnhanceConfig(), sample_rate=RATE)
        return _scorer(naturalness).score(estimate, clean)
    except (DataError, OSError, RuntimeError, ValueError) as error:
        return str(error)


@lru_cache(maxsize=1)
def _network(name: str) -> "Enhancer":
    """Return this process's copy of a network; one at a time is kept, since all together would not fit in memory."""
    from clean_corpus.enhancers.serving.enhancer import load_enhancer

    network = load_enhancer(name)
    if network.sample_rate != RATE:
        raise ConfigError(f"system {name!r} runs at {network.sample_rate} Hz, pairs are scored at {RATE} Hz")
    return network


@cache
def _scorer(naturalness: bool) -> PairScorer:
    """Return this process's scorer."""
    return PairScorer(naturalness=naturalness)


def _read(path: Path) -> Audio:
    """Return a whole recording, (N,) at the rate that pairs are scored at."""
    with decode.open_recording(path, DecodeConfig(sample_rate=RATE)) as reader:
        return np.concatenate(list(reader.blocks()))
