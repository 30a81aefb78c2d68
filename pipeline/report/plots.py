"""Plots of scores and sounds: histograms, time kept against a threshold, spectrograms; and the numbers in them."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.gate import CHECKS

LOWER_IS_BETTER = frozenset(score for score, bound in CHECKS if bound == "max")

N_FFT, MIN_HOP, MAX_COLUMNS = 512, 128, 480
RANGE_DB, STEP_DB = 70, 2
HEAT = (255 * matplotlib.colormaps["magma"](np.linspace(0, 1, RANGE_DB // STEP_DB + 1))[:, :3]).astype(np.uint8)


class YieldRow(NamedTuple):
    """Clips and hours that one threshold alone would keep."""

    score: str
    threshold: float
    hours: float
    share: float


class Palette(NamedTuple):
    """Colours of a plot."""

    ink: str
    grid: str
    raw: str
    enhanced: str


# Placeholders: an inlined SVG then takes the page's own colours, light or dark.
PAGE = Palette("#010101", "#020202", "#030303", "#040404")
PAPER = Palette("#3a4048", "#e3e5e8", "#e69f00", "#0072b2")


def gate_thresholds(gate: Mapping[str, Any]) -> dict[str, float | None]:
    """Return score -> threshold, from the gate's `<score>_min` and `<score>_max` keys.

    >>> gate_thresholds({"snr_db_min": 15.0, "clipping_ratio_max": None, "guard_sig_drop": 0.1})
    {'snr_db': 15.0, 'clipping_ratio': None}
    """
    return {key[:-4]: value for key, value in gate.items() if key.endswith(("_min", "_max"))}


def hours_kept(
    score: str, values: Sequence[float], durations_s: Sequence[float], thresholds: Iterable[float]
) -> NDArray[np.float64]:
    """Return the hours of clips whose score passes each threshold; a clip without a value (NaN) never passes.

    Shapes: values, durations_s (N,) -> one number per threshold, hours.

    >>> hours_kept("snr_db", [5.0, 15.0, 25.0], [3600, 3600, 1800], [0.0, 15.0, 20.0]).tolist()
    [2.5, 1.5, 0.5]
    """
    value, duration_s = np.asarray(values, np.float64), np.asarray(durations_s, np.float64)
    return np.array([duration_s[_passes(score, value, threshold)].sum() / 3600 for threshold in thresholds])


def yield_table(
    scores: Mapping[str, Sequence[float]], durations_s: Sequence[float], thresholds: Mapping[str, float | None]
) -> list[YieldRow]:
    """Return what round thresholds over the range of each score would keep, each alone, the gate's own among them.

    Shapes: each score and durations_s (N,), NaN where not measured.

    >>> rows = yield_table({"snr_db": [0.0, 10.0, 20.0]}, [3600] * 3, {"snr_db": 15.0})
    >>> [(row.threshold, row.hours) for row in rows]
    [(4.0, 2.0), (8.0, 2.0), (12.0, 1.0), (15.0, 1.0), (16.0, 1.0)]
    """
    total = max(float(np.sum(durations_s)) / 3600, 1e-12)
    rows = []
    for score, values in _measured(scores).items():
        low, high = np.quantile(finite(values), (0.01, 0.99))
        marks = {float(mark) for mark in MaxNLocator(6).tick_values(low, high) if low <= mark <= high}
        limits = sorted(marks | {limit for limit in [thresholds.get(score)] if limit is not None})
        hours = hours_kept(score, values, durations_s, limits)
        rows += [YieldRow(score, *row) for row in zip(limits, hours.tolist(), (hours / total).tolist(), strict=True)]
    return rows


def plot_yield(
    scores: Mapping[str, Sequence[float]],
    durations_s: Sequence[float],
    thresholds: Mapping[str, float | None],
    out: Path,
) -> Path:
    """Plot hours kept against the threshold, one panel per score, the gate's own threshold as a dashed line.

    Shapes: each score and durations_s (N,), NaN where not measured; `out` ends in .png or .svg.
    Raises: ValueError if no score has a value.
    """
    measured = _measured(scores)
    if not measured:
        raise ValueError(f"nothing to plot: none of the scores {sorted(scores)} has a value")
    columns = min(3, len(measured))
    n_rows = -(-len(measured) // columns)
    with matplotlib.rc_context(style(PAPER, salt=out.name)):
        figure = Figure(figsize=(3.2 * columns, 2.3 * n_rows), layout="constrained")
        panels = list(figure.subplots(n_rows, columns, squeeze=False).flat)
        for ax, (score, values) in zip(panels, measured.items(), strict=False):
            grid = axis(values, thresholds.get(score), 200)
            _draw_yield(ax, score, grid, {PAPER.enhanced: hours_kept(score, values, durations_s, grid)}, durations_s)
            _draw_threshold(ax, thresholds.get(score), PAPER)
            ax.set_title(score, loc="left", fontsize=9)
        for ax in panels[len(measured) :]:
            ax.remove()
        figure.savefig(out, dpi=150, facecolor="white", metadata=no_metadata(out.suffix))
    return out


def histogram_svg(
    name: str, before: NDArray[np.float64], after: NDArray[np.float64], threshold: float | None
) -> Markup:
    """Draw how often a score takes which value before and after enhancement, to be inlined in a page.

    Shapes: before (N,), after (M,), M may be 0; NaN where not measured -> an SVG element.
    """
    before, after = finite(before), finite(after)
    edges = axis(np.concatenate([before, after]), threshold, 33)
    with matplotlib.rc_context(style(PAGE, salt=name)):
        # The few values outside go to the outer bars: one outlier must not squeeze the rest into one bar.
        counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in (before, after)]
        figure = Figure(figsize=(2.9, 1.45))
        left = 0.05 + 0.025 * len(str(max(map(max, counts))))  # a constrained layout would draw every plot three times
        ax = figure.subplots(gridspec_kw={"left": left, "right": 0.97, "bottom": 0.15, "top": 0.95})
        ax.stairs(counts[0], edges, fill=True, color=PAGE.raw)
        if after.size:
            ax.stairs(counts[1], edges, color=PAGE.enhanced, linewidth=1.5)
        _draw_threshold(ax, threshold, PAGE)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))  # not in millions, said above the plot
        return svg(figure)


def yield_svg(
    score: str,
    values: Mapping[str, NDArray[np.float64]],
    durations_s: NDArray[np.float64],
    threshold: float | None,
    grid: NDArray[np.float64],
) -> Markup:
    """Draw hours kept against the threshold of a score, with and without enhancement, to be inlined in a page.

    Shapes: values by version (raw, enhanced) and durations_s (N,), NaN for a clip that never passes; grid (M,).
    """
    curves = {getattr(PAGE, version): hours_kept(score, values[version], durations_s, grid) for version in values}
    with matplotlib.rc_context(style(PAGE, salt="yield")):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        ax = figure.subplots()
        _draw_yield(ax, score, grid, curves, durations_s)
        _draw_threshold(ax, threshold, PAGE)
        return svg(figure)


def power_spectrogram(samples: Audio) -> NDArray[np.float64]:
    """Return a short-time power spectrum of few enough frames for a picture.

    Shapes: (N,) -> (F, T), F = 257.
    """
    hop = max(MIN_HOP, -(-len(samples) // MAX_COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, N_FFT // 2), N_FFT)[::hop]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(N_FFT)))).T


def write_spectrogram(path: Path, power: NDArray[np.float64], loudest: float) -> None:
    """Write a spectrogram as pixels alone, `loudest` the brightest; the page draws the axes in its own colours.

    Shapes: power (F, T).
    """
    level_db = 10 * np.log10(np.maximum(power / max(loudest, 1e-9), 1e-12))
    steps = np.rint(np.maximum(level_db + RANGE_DB, 0) / STEP_DB).astype(np.uint8)
    image = Image.fromarray(steps[::-1])  # lowest frequency at the bottom
    image.putpalette(HEAT.tobytes())
    image.save(path)


def ticks(end: float, steps: int) -> list[tuple[str, float]]:
    """Return round marks from 0 to `end` as (label, position in percent).

    >>> ticks(8.0, 4)
    [('0', 0.0), ('2', 25.0), ('4', 50.0), ('6', 75.0), ('8', 100.0)]
    """
    marks = [float(mark) for mark in MaxNLocator(steps).tick_values(0, end) if mark <= end]
    return [(f"{mark:g}", round(100 * mark / end, 2)) for mark in marks]


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that were measured."""
    return values[np.isfinite(values)]


def axis(values: NDArray[np.float64], threshold: float | None, n_points: int) -> NDArray[np.float64]:
    """Return even steps over all but the last half percent of the values on each side, and over the threshold.

    Shapes: values (N,), NaN where not measured -> (n_points,).
    """
    low, high = np.quantile(finite(values), (0.005, 0.995))
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.03 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, n_points)


def _measured(scores: Mapping[str, Sequence[float]]) -> dict[str, NDArray[np.float64]]:
    arrays = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    return {name: values for name, values in arrays.items() if np.isfinite(values).any()}


def _passes(score: str, values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    return values <= threshold if score in LOWER_IS_BETTER else values >= threshold


def _draw_yield(
    ax: Axes,
    score: str,
    grid: NDArray[np.float64],
    hours: Mapping[str, NDArray[np.float64]],
    durations_s: Sequence[float],
) -> None:
    """Draw curves of hours over a grid of thresholds, by colour; those of short corpora in minutes."""
    total_hours = float(np.sum(durations_s)) / 3600
    unit, per_hour = ("hours", 1) if total_hours >= 1 else ("minutes", 60)
    for colour, curve in hours.items():
        ax.plot(grid, curve * per_hour, color=colour, linewidth=1.8)
    ax.set_ylim(0, max(total_hours * per_hour, 1e-3) * 1.03)
    ax.set_xlim(grid[0], grid[-1])
    ax.set_ylabel(f"{unit} kept")
    ax.set_xlabel(f"threshold, {'at most' if score in LOWER_IS_BETTER else 'at least'}")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="y")


def _draw_threshold(ax: Axes, threshold: float | None, palette: Palette) -> None:
    if threshold is not None:
        ax.axvline(threshold, color=palette.ink, linewidth=1.1, linestyle=(0, (4, 2)))


def style(palette: Palette, *, salt: str) -> dict[str, Any]:
    """Return matplotlib settings of a palette; `salt` makes the names within an SVG the same each time."""
    return {
        "font.size": 8,
        "text.color": palette.ink,
        "axes.labelcolor": palette.ink,
        "axes.edgecolor": palette.grid,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": palette.grid,
        "grid.linewidth": 0.7,
        "xtick.color": palette.grid,
        "ytick.color": palette.grid,
        "xtick.labelcolor": palette.ink,
        "ytick.labelcolor": palette.ink,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
    }


def svg(figure: Figure) -> Markup:
    """Render a figure to inline in a page, whose own colours replace those of PAGE."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata(".svg"))
    text = buffer.getvalue()
    text = re.sub(r' id="[\w.]+_\d+"', "", text[text.index("<svg") :])  # names of parts: the same in every plot
    for colour, variable in zip(PAGE, Palette._fields, strict=True):
        text = text.replace(colour, f"var(--{variable})")
    return Markup(text)


def no_metadata(suffix: str) -> dict[str, None]:
    """Return metadata without dates and versions: the same input must give the same bytes."""
    return dict.fromkeys(("Date", "Creator", "Format", "Type") if suffix == ".svg" else ("Software",))
