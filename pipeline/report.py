"""A finished run as one HTML folder: counts, scores before and after, clips to listen to, failures, timings."""

import io
import re
import shutil
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import jinja2
import matplotlib
import numpy as np
import pyarrow as pa
import yaml
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from pipeline.clip import Verdict
from pipeline.config import GateConfig
from pipeline.gate import CHECKS, decide
from pipeline.synthetic import Audio

Version = Literal["raw", "enhanced"]
AudioOf = Callable[[str, Version], tuple[Audio, int] | None]
"""(clip id, version) -> samples of full scale +-1 and their rate in Hz; None where there is no such version."""

MEANINGS = {
    "dnsmos_ovrl": "overall quality, 1 to 5",
    "dnsmos_sig": "quality of the speech, 1 to 5",
    "dnsmos_bak": "quiet of the background, 1 to 5",
    "dnsmos_p808": "overall quality as in P.808, 1 to 5",
    "snr_db": "estimated signal-to-noise ratio, dB",
    "clipping_ratio": "share of clipped samples",
    "bandwidth_hz": "effective bandwidth, Hz",
    "speech_ratio": "share of the clip that is speech",
    "loudness_lufs": "loudness, LUFS",
    "pesq_wb": "wide-band PESQ against the clean twin",
    "stoi": "STOI against the clean twin",
    "si_sdr_db": "SI-SDR against the clean twin, dB",
}
LOWER_IS_BETTER = frozenset(score for score, bound in CHECKS if bound == "max")
RANKED_BY = "dnsmos_ovrl"

CLIPS_PER_GROUP = 4
FAILED_SHOWN = 200
N_FFT, MIN_HOP, MAX_COLUMNS = 512, 128, 480
RANGE_DB, STEP_DB = 70, 2
HEAT = (255 * matplotlib.colormaps["magma"](np.linspace(0, 1, RANGE_DB // STEP_DB + 1))[:, :3]).astype(np.uint8)


class YieldRow(NamedTuple):
    """What one threshold alone would keep."""

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


def write_report(ledger: pa.Table, run: Mapping[str, Any], out: Path, audio: AudioOf) -> Path:
    """The report of a run as folder `out`, replaced whole; every figure on it is computed from the ledger.

    The same ledger, run and audio give the same bytes. Players get 16-bit WAV: the one lossless format that every
    browser decodes, whatever its age, and that no encoder's version can change.

    Shapes: ledger one row per clip; audio (N,) -> path of index.html.
    Raises: KeyError if the ledger lacks a column or `run` a section.
    """
    fresh, stale = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    for leftover in filter(Path.exists, (fresh, stale)):
        shutil.rmtree(leftover)
    (fresh / "audio").mkdir(parents=True)
    (fresh / "spectrograms").mkdir()
    corpus = _Corpus.of(ledger)
    started = datetime.fromisoformat(run["started"])
    page = _TEMPLATES.get_template("report.html").render(
        run=run,
        name=PurePosixPath(run["input"]).name or run["input"],
        started=f"{started:%d %B %Y, %H:%M}",
        took_s=(datetime.fromisoformat(run["finished"]) - started).total_seconds(),
        summary=_summary(corpus),
        reasons=_reasons(corpus),
        yields=_yields(corpus, run["config"]["gate"]),
        histograms=_histograms(corpus, gate_thresholds(run["config"]["gate"])),
        unmeasured=[name for name, score in corpus.scores.items() if not score.measured],
        groups=_groups(corpus, audio, fresh),
        range_db=RANGE_DB,
        failed=_failed(corpus),
        n_failed=int(np.sum(corpus.verdict == Verdict.FAILED)),
        settings={key: _yaml(run[key]) for key in ("config", "versions", "rulers")},
    )
    # A path that is not UTF-8 reaches this place with surrogate escapes.
    (fresh / "index.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    if out.exists():
        out.rename(stale)
    fresh.rename(out)
    if stale.exists():
        shutil.rmtree(stale)
    return out / "index.html"


def gate_thresholds(gate: Mapping[str, Any]) -> dict[str, float | None]:
    """Score -> threshold, from the gate's `<score>_min` and `<score>_max` keys.

    >>> gate_thresholds({"snr_db_min": 15.0, "clipping_ratio_max": None, "guard_sig_drop": 0.1})
    {'snr_db': 15.0, 'clipping_ratio': None}
    """
    return {key[:-4]: value for key, value in gate.items() if key.endswith(("_min", "_max"))}


def hours_kept(
    score: str, values: Sequence[float], durations_s: Sequence[float], thresholds: Iterable[float]
) -> NDArray[np.float64]:
    """Hours of the clips whose score passes each threshold; a clip without a value (NaN) never passes.

    Shapes: values, durations_s (N,) -> one number per threshold, hours.

    >>> hours_kept("snr_db", [5.0, 15.0, 25.0], [3600, 3600, 1800], [0.0, 15.0, 20.0]).tolist()
    [2.5, 1.5, 0.5]
    """
    value, duration_s = np.asarray(values, np.float64), np.asarray(durations_s, np.float64)
    return np.array([duration_s[_passes(score, value, threshold)].sum() / 3600 for threshold in thresholds])


def yield_table(
    scores: Mapping[str, Sequence[float]], durations_s: Sequence[float], thresholds: Mapping[str, float | None]
) -> list[YieldRow]:
    """Round thresholds over the range of each score, the gate's own among them, and what each alone would keep.

    Shapes: each score and durations_s (N,), NaN where not measured.

    >>> rows = yield_table({"snr_db": [0.0, 10.0, 20.0]}, [3600] * 3, {"snr_db": 15.0})
    >>> [(row.threshold, row.hours) for row in rows]
    [(4.0, 2.0), (8.0, 2.0), (12.0, 1.0), (15.0, 1.0), (16.0, 1.0)]
    """
    total = max(float(np.sum(durations_s)) / 3600, 1e-12)
    rows = []
    for score, values in _measured(scores).items():
        low, high = np.quantile(_finite(values), (0.01, 0.99))
        ticks = {float(tick) for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high}
        limits = sorted(ticks | {limit for limit in [thresholds.get(score)] if limit is not None})
        hours = hours_kept(score, values, durations_s, limits)
        rows += [YieldRow(score, *row) for row in zip(limits, hours.tolist(), (hours / total).tolist(), strict=True)]
    return rows


def plot_yield(
    scores: Mapping[str, Sequence[float]],
    durations_s: Sequence[float],
    thresholds: Mapping[str, float | None],
    out: Path,
) -> Path:
    """Hours kept against the threshold, one panel per score, the gate's own threshold as a dashed line.

    Shapes: each score and durations_s (N,), NaN where not measured; `out` ends in .png or .svg.
    Raises: ValueError if no score has a value.
    """
    measured = _measured(scores)
    if not measured:
        raise ValueError(f"nothing to plot: none of the scores {sorted(scores)} has a value")
    columns = min(3, len(measured))
    n_rows = -(-len(measured) // columns)
    with matplotlib.rc_context(_style(PAPER, salt=out.name)):
        figure = Figure(figsize=(3.2 * columns, 2.3 * n_rows), layout="constrained")
        panels = list(figure.subplots(n_rows, columns, squeeze=False).flat)
        for ax, (score, values) in zip(panels, measured.items(), strict=False):
            grid = _axis(values, thresholds.get(score), 200)
            _draw_yield(ax, score, grid, {PAPER.enhanced: hours_kept(score, values, durations_s, grid)}, durations_s)
            _draw_threshold(ax, thresholds.get(score), PAPER)
            ax.set_title(score, loc="left", fontsize=9)
        for ax in panels[len(measured) :]:
            ax.remove()
        figure.savefig(out, dpi=150, facecolor="white", metadata=_no_metadata(out.suffix))
    return out


class _Score(NamedTuple):
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    published: NDArray[np.float64]

    @property
    def measured(self) -> bool:
        return bool(np.isfinite(self.before).any() or np.isfinite(self.after).any())


@dataclass(frozen=True)
class _Corpus:
    table: pa.Table
    verdict: NDArray[np.object_]
    reason: NDArray[np.object_]
    chosen: NDArray[np.object_]
    duration_s: NDArray[np.float64]
    scores: dict[str, _Score]

    @classmethod
    def of(cls, ledger: pa.Table) -> "_Corpus":
        table = ledger.sort_by("clip_id")
        text = {name: table[name].to_numpy() for name in ("verdict", "reason", "chosen")}
        scores = {}
        for name in (column.removeprefix("before_") for column in table.column_names if column.startswith("before_")):
            before, after = (_floats(table[f"{when}_{name}"]) for when in ("before", "after"))
            undecided = np.where(np.isnan(after), before, after)
            published = np.select([text["chosen"] == "raw", text["chosen"] == "enhanced"], [before, after], undecided)
            scores[name] = _Score(before, after, published)
        return cls(table=table, duration_s=_floats(table["duration_s"]), scores=scores, **text)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy()


def _summary(corpus: _Corpus) -> dict[str, Any]:
    kept = corpus.verdict == Verdict.KEPT
    guarded = kept & np.array(corpus.table["chosen_why"].is_valid())
    summary = {
        verdict.value: {"clips": int(np.sum(at)), "seconds": float(corpus.duration_s[at].sum())}
        for verdict in Verdict
        for at in [corpus.verdict == verdict]
    }
    summary["in"] = {"clips": len(kept), "seconds": float(corpus.duration_s.sum())}
    summary["guarded"] = int(guarded.sum())
    score = corpus.scores.get(RANKED_BY)
    summary["ovrl_before"], summary["ovrl_after"] = (
        (_average(np.mean, score.before[kept]), _average(np.mean, score.published[kept])) if score else (None, None)
    )
    return summary


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _average(average: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64]) -> float | None:
    finite = _finite(values)
    return float(average(finite)) if finite.size else None


def _reasons(corpus: _Corpus) -> list[dict[str, Any]]:
    groups = []
    for verdict in Verdict:
        at = corpus.verdict == verdict
        labels = corpus.chosen if verdict is Verdict.KEPT else corpus.reason
        rows = [_share(corpus, at & (labels == label), str(label)) for label in {*labels[at]}]
        rows.sort(key=lambda row: (-row["clips"], row["label"]))
        groups.append(_share(corpus, at, verdict.value) | {"rows": rows})
    return groups


def _share(corpus: _Corpus, at: NDArray[np.bool_], label: str) -> dict[str, Any]:
    clips, seconds = int(at.sum()), float(corpus.duration_s[at].sum())
    return {
        "label": label,
        "clips": clips,
        "seconds": seconds,
        "clips_share": clips / max(len(at), 1),
        "seconds_share": seconds / max(float(corpus.duration_s.sum()), 1e-12),
    }


def _failed(corpus: _Corpus) -> list[dict[str, Any]]:
    rows = np.flatnonzero(corpus.verdict == Verdict.FAILED)[:FAILED_SHOWN]
    return corpus.table.select(["source", "offset_s", "reason", "detail"]).take(rows).to_pylist()


# Clips to listen to


def _groups(corpus: _Corpus, audio: AudioOf, folder: Path) -> list[dict[str, Any]]:
    groups = []
    number = 0
    for title, note, rows in _picks(corpus):
        cards = []
        for row in corpus.table.take(rows).to_pylist():
            number += 1
            cards.append(_card(row, corpus.scores, audio, folder, f"{number:03}"))
        groups.append({"title": title, "note": note, "cards": cards})
    return groups


def _picks(corpus: _Corpus) -> list[tuple[str, str, list[int]]]:
    """(title, note, rows) of each group that is not empty; a clip is in one group at most."""
    shuffled = np.random.default_rng(0).permutation(len(corpus.verdict))
    kept = corpus.verdict == Verdict.KEPT
    wanted: list[tuple[str, str, NDArray[np.integer], NDArray[np.bool_]]] = []
    if RANKED_BY in corpus.scores:
        score = corpus.scores[RANKED_BY]
        change = score.after - score.before
        rising = {"published": np.argsort(score.published, kind="stable"), "change": np.argsort(change, kind="stable")}
        scored = kept & np.isfinite(score.published)
        wanted = [
            ("Best", f"kept, highest {RANKED_BY}", rising["published"][::-1], scored),
            ("Worst kept", f"kept, lowest {RANKED_BY}", rising["published"], scored),
            ("Most improved", f"largest rise of {RANKED_BY} by enhancement", rising["change"][::-1], change > 0),
            ("Most damaged", f"largest fall of {RANKED_BY} by enhancement", rising["change"], change < 0),
        ]
    wanted.append(("Kept, at random", "", shuffled, kept))
    rejected = corpus.verdict == Verdict.REJECTED
    for reason in sorted({*corpus.reason[rejected]}):
        wanted.append((f"Rejected: {reason}", "at random", shuffled, rejected & (corpus.reason == reason)))
    used: set[int] = set()
    picks = []
    for title, note, order, eligible in wanted:
        rows = [int(row) for row in order if eligible[row] and row not in used][:CLIPS_PER_GROUP]
        used.update(rows)
        if rows:
            picks.append((title, note, rows))
    return picks


def _card(row: dict[str, Any], scores: Iterable[str], audio: AudioOf, folder: Path, stem: str) -> dict[str, Any]:
    found = {version: audio(row["clip_id"], version) for version in ("raw", "enhanced")}
    powers = {version: _power(heard[0]) for version, heard in found.items() if heard is not None}
    loudest = max([float(power.max()) for power in powers.values()], default=0.0)
    players = []
    for version, power in powers.items():
        samples, sample_rate = found[version]
        file = f"{stem}-{version}"
        _write_wav(folder / "audio" / f"{file}.wav", samples, sample_rate)
        _write_spectrogram(folder / "spectrograms" / f"{file}.png", power, loudest)
        players.append(
            {
                "version": version,
                "audio": f"audio/{file}.wav",
                "image": f"spectrograms/{file}.png",
                "sample_rate": sample_rate,
                "times_s": _ticks(len(samples) / sample_rate, 4),
                "frequencies_khz": _ticks(sample_rate / 2000, 4),
            }
        )
    values = [(name, row[f"before_{name}"], row[f"after_{name}"]) for name in scores]
    return row | {
        "scores": [(name, before, after) for name, before, after in values if (before, after) != (None, None)],
        "players": players,
    }


def _write_wav(path: Path, samples: Audio, sample_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def _power(samples: Audio) -> NDArray[np.float64]:
    """Short-time power spectrum, few enough frames for a picture.

    Shapes: (N,) -> (F, T), F = 257.
    """
    hop = max(MIN_HOP, -(-len(samples) // MAX_COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, N_FFT // 2), N_FFT)[::hop]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(N_FFT)))).T


def _write_spectrogram(path: Path, power: NDArray[np.float64], loudest: float) -> None:
    """Pixels alone: the page draws the axes, so that they follow its colours and stay sharp."""
    level_db = 10 * np.log10(np.maximum(power / max(loudest, 1e-9), 1e-12))
    steps = np.rint(np.maximum(level_db + RANGE_DB, 0) / STEP_DB).astype(np.uint8)
    image = Image.fromarray(steps[::-1])  # lowest frequency at the bottom
    image.putpalette(HEAT.tobytes())
    image.save(path)


def _ticks(end: float, steps: int) -> list[tuple[str, float]]:
    """Round marks from 0 to `end`: (label, place in percent).

    >>> _ticks(8.0, 4)
    [('0', 0.0), ('2', 25.0), ('4', 50.0), ('6', 75.0), ('8', 100.0)]
    """
    marks = [float(mark) for mark in MaxNLocator(steps).tick_values(0, end) if mark <= end]
    return [(f"{mark:g}", round(100 * mark / end, 2)) for mark in marks]


# Plots


def _histograms(corpus: _Corpus, thresholds: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "meaning": MEANINGS.get(name, ""),
            "before": _average(np.median, score.before),
            "after": _average(np.median, score.after),
            "threshold": thresholds.get(name),
            "sign": "≤" if name in LOWER_IS_BETTER else "≥",
            "svg": _histogram_svg(name, score, thresholds.get(name)),
        }
        for name, score in corpus.scores.items()
        if score.measured
    ]


def _histogram_svg(name: str, score: _Score, threshold: float | None) -> Markup:
    before, after = _finite(score.before), _finite(score.after)
    edges = _axis(np.concatenate([before, after]), threshold, 33)
    with matplotlib.rc_context(_style(PAGE, salt=name)):
        figure = Figure(figsize=(2.9, 1.45), layout="constrained")
        ax = figure.subplots()
        # The few values outside go to the outer bars: one outlier must not squeeze the rest into one bar.
        ax.stairs(np.histogram(np.clip(before, edges[0], edges[-1]), edges)[0], edges, fill=True, color=PAGE.raw)
        if after.size:
            counts = np.histogram(np.clip(after, edges[0], edges[-1]), edges)[0]
            ax.stairs(counts, edges, color=PAGE.enhanced, linewidth=1.5)
        _draw_threshold(ax, threshold, PAGE)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        return _svg(figure)


def _yields(corpus: _Corpus, gate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time kept against the threshold of the ranking score, the other checks of the gate and its guard as they are."""
    score = corpus.scores.get(RANKED_BY)
    if score is None or not score.measured:
        return None
    threshold = gate_thresholds(gate)[RANKED_BY]
    grid = _axis(np.concatenate([score.before, score.published]), threshold, 200)
    values = {version: _gated(corpus, gate, version) for version in ("raw", "enhanced")}
    curves = {
        getattr(PAGE, version): hours_kept(RANKED_BY, values[version], corpus.duration_s, grid) for version in values
    }
    with matplotlib.rc_context(_style(PAGE, salt="yield")):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        ax = figure.subplots()
        _draw_yield(ax, RANKED_BY, grid, curves, corpus.duration_s)
        _draw_threshold(ax, threshold, PAGE)
        svg = _svg(figure)
    at = -np.inf if threshold is None else threshold
    seconds = {version: 3600 * hours_kept(RANKED_BY, values[version], corpus.duration_s, [at])[0] for version in values}
    return {"svg": svg, "threshold": threshold, "seconds": seconds}


def _gated(corpus: _Corpus, gate: Mapping[str, Any], version: Version) -> NDArray[np.float64]:
    """The ranking score that the gate would read with or without enhancement; NaN where another check rejects."""
    open_gate = GateConfig.model_validate({**gate, f"{RANKED_BY}_min": None})
    # Duplicates and the like end before the gate: no threshold brings them back.
    reached = (corpus.verdict == Verdict.KEPT) | np.isin(corpus.reason, [*corpus.scores])
    values = np.full(len(reached), np.nan)
    rows = np.flatnonzero(reached)
    for row, record in zip(rows, corpus.table.take(rows).to_pylist(), strict=True):
        before = {name: record[f"before_{name}"] for name in corpus.scores}
        after = before if version == "raw" else {name: record[f"after_{name}"] for name in corpus.scores}
        decision = decide(before, after, open_gate)
        if decision.verdict is Verdict.KEPT:
            value = (before if decision.chosen == "raw" else after)[RANKED_BY]
            values[row] = np.nan if value is None else value
    return values


def _measured(scores: Mapping[str, Sequence[float]]) -> dict[str, NDArray[np.float64]]:
    arrays = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    return {name: values for name, values in arrays.items() if np.isfinite(values).any()}


def _passes(score: str, values: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    return values <= threshold if score in LOWER_IS_BETTER else values >= threshold


def _axis(values: NDArray[np.float64], threshold: float | None, n_points: int) -> NDArray[np.float64]:
    """Even steps over all but the last half percent of the values on each side, and over the threshold."""
    low, high = np.quantile(_finite(values), (0.005, 0.995))
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.03 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, n_points)


def _draw_yield(
    ax: Axes,
    score: str,
    grid: NDArray[np.float64],
    hours: Mapping[str, NDArray[np.float64]],
    durations_s: Sequence[float],
) -> None:
    """Curves of hours by colour over a grid of thresholds; short corpora are drawn in minutes."""
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


def _style(palette: Palette, *, salt: str) -> dict[str, Any]:
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


def _svg(figure: Figure) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_no_metadata(".svg"))
    svg = buffer.getvalue()
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg[svg.index("<svg") :])  # names of parts: the same in every plot
    for colour, variable in zip(PAGE, Palette._fields, strict=True):
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)


def _no_metadata(suffix: str) -> dict[str, None]:
    """Neither dates nor versions: the same input must give the same bytes."""
    return dict.fromkeys(("Date", "Creator", "Format", "Type") if suffix == ".svg" else ("Software",))


# Words


_DIGITS = {"hz": ",.0f", "db": ".1f", "lufs": ".1f", "ratio": ".2g"}


def _format_score(value: float | None, name: str) -> str:
    """A score in as many digits as mean something; its unit is what its name ends in.

    >>> _format_score(7812.5, "bandwidth_hz"), _format_score(2.134, "dnsmos_sig"), _format_score(None, "stoi")
    ('7,812', '2.13', '\N{EN DASH}')
    """
    return "\N{EN DASH}" if value is None else format(value, _DIGITS.get(name.rsplit("_", 1)[-1], ".2f"))


def _format_duration(seconds: float) -> str:
    """Seconds in the largest unit of which there is at least one.

    >>> [_format_duration(s) for s in (0.0, 43.21, 726.1, 45296.0)]
    ['0.0 s', '43.2 s', '12.1 min', '12.58 h']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.2f} h"


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False)


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "score": _format_score,
    "duration": _format_duration,
    "clips": lambda n: f"{n:,}",
    "percent": lambda share: f"{100 * share:.1f} %",
}
