"""Results of a listening test as plain data, as Markdown and as a plot."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from clean_corpus.pipeline.core.statistics import SIGNIFICANT_P
from clean_corpus.pipeline.report.plots import PAPER, no_metadata, style
from clean_corpus.vocoder.listening.results import Results

TITLES = {"acr": "naturalness, MOS 1 to 5", "ab": "share of choices", "mushra": "quality, 0 to 100"}


def as_json(results: Results) -> dict[str, Any]:
    """Return the results as plain data."""
    key = results.key
    about = {name: getattr(key, name) for name in ("study", "mode", "systems", "utterances", "reference")}
    tables = {
        name: [row._asdict() for row in getattr(results, name)] for name in ("scores", "comparisons", "preferences")
    }
    return about | {"listeners": results.listeners, "excluded": results.excluded} | tables


def report(results: Results) -> str:
    """Return Markdown: means or preferences, tests, listeners not counted and how the numbers were made."""
    key = results.key
    head = (
        f"# Listening test {key.study}\n\n"
        f"{len(results.listeners)} listeners counted, {len(results.excluded)} not; {len(key.utterances)} utterances, "
        f"{len(key.systems)} systems.\n"
    )
    body = _preferences(results) if key.mode == "ab" else _scores(results)
    excluded = [[_cell(listener), _cell("; ".join(why))] for listener, why in results.excluded.items()]
    tail = ["## Listeners not counted\n", _markdown(["listener", "why"], excluded)] if excluded else []
    return "\n".join([head, *body, "![results](results.png)\n", *tail])


def _scores(results: Results) -> list[str]:
    """Return the tables of a test with ratings: means of systems, and systems against each other."""
    name, digits = ("MOS", 2) if results.key.mode == "acr" else ("mean", 1)
    rows = [
        [_name(results, row.system), str(row.ratings), f"{row.mean:.{digits}f}", _bounds(row.low, row.high, digits)]
        for row in sorted(results.scores, key=lambda row: -row.mean)
    ]
    tests = [
        [
            _name(results, row.system),
            _name(results, row.against),
            f"{row.difference:+.{digits}f}",
            str(row.utterances),
            _p(row.p),
            _p(row.p_holm) + (" \\*" if row.p_holm is not None and row.p_holm < SIGNIFICANT_P else ""),
        ]
        for row in results.comparisons
    ]
    alone = " It is of other utterances alone: one listener says nothing of others." * (len(results.listeners) == 1)
    return [
        _markdown(["system", "ratings", name, "95 % interval"], rows),
        f"Interval: percentile bootstrap that draws listeners and utterances anew at once.{alone}\n",
        "## Systems against each other\n",
        _markdown(["system", "against", "difference", "utterances", "p", "p, Holm"], tests),
        f"Wilcoxon's signed ranks over the utterances' means; \\* p < {SIGNIFICANT_P:g} after Holm's correction "
        f"for the number of tests, {len(tests)}. No p: no utterance differs.\n",
    ]


def _preferences(results: Results) -> list[str]:
    """Return the table of a test with pairs: how often each of the two was preferred."""
    rows = [
        [
            _name(results, row.system),
            _name(results, row.against),
            *map(str, (row.preferred, row.no_difference, row.against_preferred)),
            "" if row.share is None else f"{100 * row.share:.1f} %",
            "" if row.low is None or row.high is None else f"{100 * row.low:.1f} to {100 * row.high:.1f} %",
            _p(row.p) + (" \\*" if row.p is not None and row.p < SIGNIFICANT_P else ""),
        ]
        for row in results.preferences
    ]
    heads = ["system", "against", "preferred", "no difference", "against preferred", "share", "95 % interval", "p"]
    return [
        _markdown(heads, rows),
        'Share: of the choices that were not "no difference"; interval: Clopper-Pearson; p: two-sided binomial '
        f"test against one half, \\* p < {SIGNIFICANT_P:g}, not corrected for the number of pairs. It takes choices "
        "for independent, which those of one listener are not quite.\n",
    ]


def _name(results: Results, system: str) -> str:
    return _cell(system) + (" (reference)" if system == results.key.reference else "")


def _cell(text: str) -> str:
    """Return text escaped so that it stays text in a Markdown table."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
    return escaped.replace("\n", " ")


def _bounds(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(results: Results, out: Path) -> Path:
    """Plot means with intervals, or shares of choices, a line for each system or pair; `out` ends in .png or .svg."""
    with matplotlib.rc_context(style(PAPER, salt=out.name)):
        n_lines = len(results.preferences or results.scores)
        figure = Figure(figsize=(5.6, 0.9 + 0.36 * n_lines), layout="constrained")
        ax = figure.subplots()
        (_draw_preferences if results.key.mode == "ab" else _draw_scores)(ax, results)
        ax.set_ylim(n_lines - 0.4, -0.6)  # first on top
        ax.set_xlabel(TITLES[results.key.mode])
        ax.grid(axis="x")
        figure.savefig(out, dpi=150, facecolor="white", metadata=no_metadata(out.suffix))
    return out


def _draw_scores(ax: matplotlib.axes.Axes, results: Results) -> None:
    rows = sorted(results.scores, key=lambda row: -row.mean)
    for at, row in enumerate(rows):
        colour = PAPER.raw if row.system == results.key.reference else PAPER.enhanced
        if row.low is not None and row.high is not None:
            ax.plot([row.low, row.high], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        ax.plot(row.mean, at, "o", color=colour, markersize=5)
    ax.set_xlim(*((0.8, 5.2) if results.key.mode == "acr" else (-2, 102)))
    ax.set_yticks(np.arange(len(rows)), [_plain(row.system) for row in rows])


def _draw_preferences(ax: matplotlib.axes.Axes, results: Results) -> None:
    for at, row in enumerate(results.preferences):
        counts = np.array([row.preferred, row.no_difference, row.against_preferred])
        shares = counts / max(counts.sum(), 1)
        starts = np.cumsum(shares) - shares
        ax.barh(at, shares, left=starts, height=0.62, color=[PAPER.enhanced, PAPER.grid, PAPER.raw])
        for count, start, share, ink in zip(counts, starts, shares, ("white", PAPER.ink, PAPER.ink), strict=True):
            if count:
                ax.text(start + share / 2, at, str(count), ha="center", va="center", color=ink)
    ax.axvline(0.5, color=PAPER.ink, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xlim(0, 1)
    ax.set_yticks(np.arange(len(results.preferences)), [_plain(row.system) for row in results.preferences])
    right = ax.secondary_yaxis("right")
    right.set_yticks(np.arange(len(results.preferences)), [_plain(row.against) for row in results.preferences])


def _plain(name: str) -> str:
    """Return a name escaped for matplotlib, which takes dollars for mathematics."""
    return name.replace("$", r"\$")
