"""`clean-corpus evaluate`: systems over a folder of noisy/clean pairs, as tables and plots. Starts no server."""

import csv
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.evaluation import (
    METRICS,
    NOISY,
    RATE,
    Comparison,
    Condition,
    Pair,
    PairScorer,
    Summary,
    compare,
    find_pairs,
    summarise,
)
from clean_corpus.flows import download_cache
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.flows.folder_commands import each
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import AudioConfig, EnhanceConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.statistics import SIGNIFICANT_P
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.report.plots import PAPER, no_metadata, style
from clean_corpus.pipeline.storage import staging

if TYPE_CHECKING:
    from clean_corpus.enhancers.serving.enhancer import Enhancer

Job = tuple[str | None, Pair]
"""Weights, None for the noisy speech as it is, and the pair they are run on."""


def evaluate(
    names: Sequence[str], pairs: Location, out: Location, workers: int, console: Console
) -> tuple[Location, dict[str, str]]:
    """Enhance and score every pair with every system; returns where the report lies, and failures by system and clip.

    `names` are shipped names or paths of weights, local or s3://; the first is the one that the others are compared
    with. Writes scores.csv, summary.csv, tests.csv, report.md and a PNG per measure.
    Raises: ConfigError if there are no such weights or no pairs; DataError if a pair does not fit together.
    """
    weights: dict[str, str | None] = {NOISY: None}
    for name in names:
        at_hand = download_cache.weights(name)
        checkpoints.card(at_hand)
        if label(name) in weights:
            raise ConfigError(f"system {name!r}: {label(name)!r} is taken already; rename the file or folder")
        weights[label(name)] = at_hand
    with staging.output_folder(out) as folder, staging.local_input(pairs) as root:
        found = find_pairs(root)
        jobs = [(name, pair) for name in weights.values() for pair in found]
        results = dict(each("evaluate", jobs, "clips", workers, console, _score))
        scores: dict[str, list[Scores]] = {system: [] for system in weights}
        failed: dict[str, str] = {}
        for system, name in weights.items():
            for pair in found:
                result = results[name, pair]
                if isinstance(result, str | WorkerDied):
                    failed[f"{system}: {pair.name}"] = str(result)
                    result = dict.fromkeys(METRICS)
                scores[system].append(result)
        path = write(scores, found, folder)
    return out / path.name, failed


def label(name: str) -> str:
    """What a system is called in the tables.

    >>> [label(name) for name in ("default-causal", "runs/a", "runs/a/best.safetensors", "runs/b.safetensors")]
    ['default-causal', 'a', 'a', 'b']
    """
    path = Path(name)
    return path.parent.name if path.name == "best.safetensors" else path.name.removesuffix(".safetensors")


def _score(job: Job) -> Scores | str:
    """The scores of a pair, or why it has none."""
    from clean_corpus.pipeline.corpus.enhance import enhance_clips

    name, pair = job
    try:
        clean, estimate = _whole(pair.clean), _whole(pair.noisy)
        if name is not None:
            (estimate,) = enhance_clips([estimate], _network(name), EnhanceConfig(), sample_rate=RATE)
        return _scorer().score(estimate, clean)
    except (DataError, OSError, RuntimeError, ValueError) as error:
        return str(error)


@lru_cache(maxsize=1)
def _network(name: str) -> "Enhancer":
    """This process's copy of the network whose turn it is: all of them together would not fit in memory."""
    from clean_corpus.enhancers.serving.enhancer import load_enhancer

    network = load_enhancer(name)
    if network.sample_rate != RATE:
        raise ConfigError(f"system {name!r} runs at {network.sample_rate} Hz, pairs are scored at {RATE} Hz")
    return network


@cache
def _scorer() -> PairScorer:
    return PairScorer()


def _whole(path: Path) -> Audio:
    with decode.open_recording(path, AudioConfig(sample_rate=RATE)) as reader:
        return np.concatenate(list(reader.blocks()))


# ---- what is left behind -----------------------------------------------------------------------------------------

ALL = Condition("all", "")


def write(scores: dict[str, list[Scores]], pairs: Sequence[Pair], out: Path) -> Path:
    """Tables and plots of the scores of each system, clips in the order of `pairs`; returns the report's path."""
    out.mkdir(parents=True, exist_ok=True)
    values = {
        system: np.array([[row[metric] for metric in METRICS] for row in rows], np.float64)
        for system, rows in scores.items()
    }
    summaries, tests = summarise(values, pairs), compare(values, pairs)
    clips = (
        (system, pair.name, pair.noise, pair.snr_db, *row)
        for system, table in values.items()
        for pair, row in zip(pairs, table, strict=True)
    )
    _write_csv(out / "scores.csv", ("system", "clip", "noise", "snr_db", *METRICS), clips)
    _write_csv(out / "summary.csv", _header(Summary), map(_flat, summaries))
    _write_csv(out / "tests.csv", _header(Comparison), map(_flat, tests))
    for metric in METRICS:
        plot(metric, [row for row in summaries if row.metric == metric], out / f"{metric}.png")
    path = out / "report.md"
    path.write_text(report(summaries, tests, len(pairs)))
    return path


def _header(row: type[Summary] | type[Comparison]) -> list[str]:
    return [name for field in row._fields for name in (Condition._fields if field == "condition" else [field])]


def _flat(row: Summary | Comparison) -> list[object]:
    return [value for field in row for value in (field if isinstance(field, Condition) else [field])]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_text(value) for value in row] for row in rows)


def _text(value: object) -> object:
    """Six significant digits; nothing for what was not measured."""
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else None
    return value


def report(summaries: Sequence[Summary], tests: Sequence[Comparison], n_pairs: int) -> str:
    """Markdown in the papers' layout: a table per measure, systems down, SNRs and their mean across."""
    systems = list(dict.fromkeys(row.system for row in summaries))
    first = systems[min(1, len(systems) - 1)]
    sections = [
        f"# {len(systems)} systems on {n_pairs} pairs\n\n"
        "Mean over clips ± half of its 95 % bootstrap interval, best in bold. "
        f"Wilcoxon's signed-rank test, p < {SIGNIFICANT_P:g}: \\* differs from {NOISY}, † from {first}. "
        "ANOVA: F of a one-way analysis of variance (the F exceeded by chance in 5 % of cases), p. "
        "All intervals and tests: `summary.csv`, `tests.csv`; every clip: `scores.csv`.\n"
    ]
    for metric, about in METRICS.items():
        means = {(row.system, row.condition): row for row in summaries if row.metric == metric}
        of_metric = [test for test in tests if test.metric == metric]
        parts = [f"## {metric}\n\n{about.about}; higher is better.\n"]
        for by, heading in (("snr_db", "{} dB"), ("noise", "{}")):
            columns = [condition for condition in dict.fromkeys(c for _, c in means) if condition.by == by]
            if not columns and by == "noise":
                continue
            titles = {**{c: heading.format(c.value) for c in columns}, ALL: "mean"}
            parts.append(_mean_table(systems, titles, means, of_metric, about.digits))
            if by == "snr_db":
                parts.append(_anova_table(systems, titles, of_metric))
        parts.append(f"![{metric} by SNR]({metric}.png)\n")
        sections.append("\n".join(parts))
    return "\n".join(sections)


def _mean_table(
    systems: Sequence[str],
    titles: dict[Condition, str],
    means: dict[tuple[str, Condition], Summary],
    tests: Sequence[Comparison],
    digits: int,
) -> str:
    marks: dict[tuple[str, Condition], str] = {}
    for test in tests:
        if test.test == "wilcoxon" and test.p is not None and test.p < SIGNIFICANT_P:
            mark = "\\*" if test.against == NOISY else "†"
            marks[test.system, test.condition] = marks.get((test.system, test.condition), "") + mark
    best = {c: max((row.mean for s in systems if (row := means[s, c]).mean is not None), default=None) for c in titles}
    rows = []
    for system in systems:
        cells = []
        for condition in titles:
            row = means[system, condition]
            if row.mean is None:
                cells.append("")
                continue
            text = f"{row.mean:.{digits}f}"
            text = f"**{text}**" if row.mean == best[condition] else text
            spread = "" if row.low is None or row.high is None else f" ± {(row.high - row.low) / 2:.{digits}f}"
            cells.append(text + spread + marks.get((system, condition), ""))
        rows.append([system, *cells, str(means[system, ALL].not_scored)])
    return _markdown(["", *titles.values(), "not scored"], rows)


def _anova_table(systems: Sequence[str], titles: dict[Condition, str], tests: Sequence[Comparison]) -> str:
    found = {(test.against, test.condition): test for test in tests if test.test == "anova"}
    first = next(iter(found.values())).system
    rows = [
        [f"{first} → {against}", *(_anova_cell(found[against, condition]) for condition in titles)]
        for against in systems
        if against != first
    ]
    rows.append(["all systems", *(_anova_cell(found["all", condition]) for condition in titles)])
    return _markdown(["ANOVA", *titles.values()], rows)


def _anova_cell(test: Comparison) -> str:
    if test.statistic is None or test.p is None:
        return ""
    p = "< 0.001" if test.p < 0.001 else f"{test.p:.3f}"
    return f"{test.statistic:.1f} ({test.critical:.2f}), {p}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(metric: str, summaries: Sequence[Summary], out: Path) -> Path:
    """Mean of a measure against SNR, a curve per system with its bootstrap intervals; one point where SNR is not known.

    Shapes: summaries of this measure; `out` ends in .png or .svg.
    """
    by = "snr_db" if any(row.condition.by == "snr_db" for row in summaries) else "all"
    curves: dict[str, list[Summary]] = {}
    for row in summaries:
        if row.condition.by == by:
            curves.setdefault(row.system, []).append(row)
    colours = matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, max(1, len(curves) - 1)))
    with matplotlib.rc_context(style(PAPER, salt=out.name)):
        figure = Figure(figsize=(5.2, max(2.8, 0.2 * len(curves))), layout="constrained")
        ax = figure.subplots()
        for index, (system, rows) in enumerate(curves.items()):
            middle, low, high = (_array(getattr(row, key) for row in rows) for key in ("mean", "low", "high"))
            shift = 0.3 * ((index + 0.5) / len(curves) - 0.5)  # so that intervals do not hide each other
            error = np.nan_to_num([middle - low, high - middle])
            colour = PAPER.ink if system == NOISY else colours[index - 1]
            ax.errorbar(
                np.arange(len(rows)) + shift, middle, error,
                color=colour, linewidth=1.4, elinewidth=0.8, marker="o", markersize=3, label=system,
            )  # fmt: skip
        ticks = [f"{row.condition.value} dB" if by == "snr_db" else "all clips" for row in next(iter(curves.values()))]
        ax.set_xticks(range(len(ticks)), ticks)
        ax.set_xlabel("SNR of the noisy speech" if by == "snr_db" else "")
        ax.set_title(metric, loc="left", fontsize=9)
        ax.grid(axis="y")
        figure.legend(loc="outside right upper", frameon=False)
        figure.savefig(out, dpi=150, facecolor="white", metadata=no_metadata(out.suffix))
    return out


def _array(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])
