"""Tables, tests and plots of an evaluation: CSV files, a Markdown report and a PNG for each measure."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from clean_corpus.enhancers.evaluation import (
    METRICS,
    NOISY,
    OPTIONAL,
    Comparison,
    Summary,
    compare,
    metrics,
    summarise,
)
from clean_corpus.enhancers.pairs import CROSSED, Condition, Pair
from clean_corpus.pipeline.core.statistics import SIGNIFICANT_P
from clean_corpus.pipeline.core.types import Scores
from clean_corpus.pipeline.report.plots import PAPER, no_metadata, style

ALL = Condition("all", "")
"""The condition that every pair meets."""


def write_evaluation(scores: dict[str, list[Scores]], pairs: Sequence[Pair], out: Path) -> Path:
    """Write tables and plots of each system's scores, clips in the order of `pairs`; return the report's path."""
    out.mkdir(parents=True, exist_ok=True)
    names = metrics(any(name in row for rows in scores.values() for row in rows for name in OPTIONAL))
    values = {
        system: np.array([[row[name] for name in names] for row in rows], np.float64) for system, rows in scores.items()
    }
    summaries, tests = summarise(values, pairs), compare(values, pairs)
    about = ["noise", "snr_db", *(by for by in ("speakers", "noises") if any(getattr(pair, by) for pair in pairs))]
    clips = (
        (system, pair.name, *(getattr(pair, by) for by in about), *row)
        for system, table in values.items()
        for pair, row in zip(pairs, table, strict=True)
    )
    _write_csv(out / "scores.csv", ("system", "clip", *about, *names), clips)
    _write_csv(out / "summary.csv", _header(Summary), map(_flat, summaries))
    _write_csv(out / "tests.csv", _header(Comparison), map(_flat, tests))
    for name in names:
        plot(name, [row for row in summaries if row.metric == name], out / f"{name}.png")
    path = out / "report.md"
    path.write_text(report(summaries, tests, len(pairs)))
    return path


def _header(row: type[Summary] | type[Comparison]) -> list[str]:
    """Return the columns of a row whose condition takes two of them."""
    return [name for field in row._fields for name in (Condition._fields if field == "condition" else [field])]


def _flat(row: Summary | Comparison) -> list[object]:
    """Return the values of a row under `_header`."""
    return [value for field in row for value in (field if isinstance(field, Condition) else [field])]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_text(value) for value in row] for row in rows)


def _text(value: object) -> object:
    """Return a number with six significant digits; nothing for what was not measured."""
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else None
    return value


def report(summaries: Sequence[Summary], tests: Sequence[Comparison], n_pairs: int) -> str:
    """Return Markdown in the papers' layout: a table per measure, systems down, SNRs and their mean across."""
    systems = list(dict.fromkeys(row.system for row in summaries))
    first = systems[min(1, len(systems) - 1)]
    sections = [
        f"# {len(systems)} systems on {n_pairs} pairs\n\n"
        "Mean over clips ± half of its 95 % bootstrap interval, best in bold. "
        f"Wilcoxon's signed-rank test, p < {SIGNIFICANT_P:g}: \\* differs from {NOISY}, † from {first}. "
        "ANOVA: F of a one-way analysis of variance (the F exceeded by chance in 5 % of cases), p. "
        "All intervals and tests: `summary.csv`, `tests.csv`; every clip: `scores.csv`.\n"
    ]
    for metric in dict.fromkeys(row.metric for row in summaries):
        means = {(row.system, row.condition): row for row in summaries if row.metric == metric}
        sections.append(_metric_section(metric, systems, means, [test for test in tests if test.metric == metric]))
    return "\n".join(sections)


def _metric_section(
    metric: str,
    systems: Sequence[str],
    means: dict[tuple[str, Condition], Summary],
    tests: Sequence[Comparison],
) -> str:
    """Return one measure's tables by SNR and, where they are known, by noise and by what training heard."""
    about = METRICS[metric]
    parts = [f"## {metric}\n\n{about.about}; higher is better.\n"]
    for by, heading in (("snr_db", "{} dB"), ("noise", "{}")):
        columns = [condition for condition in dict.fromkeys(c for _, c in means) if condition.by == by]
        if not columns and by == "noise":
            continue
        titles = {**{c: heading.format(c.value) for c in columns}, ALL: "mean"}
        parts.append(_mean_table(systems, titles, means, tests, about.digits))
        if by == "snr_db":
            parts.append(_anova_table(systems, titles, tests))
    for by, crossed in CROSSED:
        columns = [c for c in dict.fromkeys(c for _, c in means) if c.by.partition("/")[0] == by]
        if columns:
            parts.append(_mean_table(systems, _training_titles(by, crossed, columns), means, tests, about.digits))
    parts.append(f"![{metric} by SNR]({metric}.png)\n")
    return "\n".join(parts)


def _training_titles(by: str, crossed: str, columns: Sequence[Condition]) -> dict[Condition, str]:
    """Return the columns of what training heard and what it did not: each value of the other property, and the mean."""
    unit = " dB" if crossed == "snr_db" else ""
    titles = {}
    for whole in (c for c in columns if c.by == by):
        head = f"{whole.value} {by}"
        for each in (c for c in columns if c.by != by and c.value.startswith(f"{whole.value}/")):
            titles[each] = f"{head}, {each.value.partition('/')[2]}{unit}"
        titles[whole] = f"{head}, mean"
    return titles


def _mean_table(
    systems: Sequence[str],
    titles: dict[Condition, str],
    means: dict[tuple[str, Condition], Summary],
    tests: Sequence[Comparison],
    digits: int,
) -> str:
    """Return a table of means, a column for each condition, with intervals and marks of significance."""
    marks = _significance_marks(tests)
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


def _significance_marks(tests: Sequence[Comparison]) -> dict[tuple[str, Condition], str]:
    """Return the marks of systems that differ from the noisy speech, and from the first system."""
    marks: dict[tuple[str, Condition], str] = {}
    for test in tests:
        if test.test == "wilcoxon" and test.p is not None and test.p < SIGNIFICANT_P:
            mark = "\\*" if test.against == NOISY else "†"
            marks[test.system, test.condition] = marks.get((test.system, test.condition), "") + mark
    return marks


def _anova_table(systems: Sequence[str], titles: dict[Condition, str], tests: Sequence[Comparison]) -> str:
    """Return a table of analyses of variance: the first system with each other one, and all of them."""
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
    """Plot the mean of a measure against SNR, a curve per system with bootstrap intervals; return `out`.

    Where SNRs are not known, each system has one point.

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
