"""A finished run as one HTML folder: counts, scores before and after, clips to listen to, failures, timings."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from pipeline import plots
from pipeline.audio import write_wav
from pipeline.clip import Verdict
from pipeline.config import GateConfig
from pipeline.gate import decide
from pipeline.scoring import SCORES
from pipeline.synthetic import Audio

Version = Literal["raw", "enhanced"]
AudioOf = Callable[[str, Version], tuple[Audio, int] | None]
"""(clip id, version) -> samples of full scale +-1 and their rate in Hz; None where there is no such version."""

RANKED_BY = "dnsmos_ovrl"

CLIPS_PER_GROUP = 4
FAILED_SHOWN = 200


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
        histograms=_histograms(corpus, plots.gate_thresholds(run["config"]["gate"])),
        unmeasured=[name for name, score in corpus.scores.items() if not score.measured],
        groups=_groups(corpus, audio, fresh),
        range_db=plots.RANGE_DB,
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


def _average(average: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64]) -> float | None:
    finite = plots.finite(values)
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
    powers = {version: plots.power_spectrogram(heard[0]) for version, heard in found.items() if heard is not None}
    loudest = max([float(power.max()) for power in powers.values()], default=0.0)
    players = []
    for version, power in powers.items():
        samples, sample_rate = found[version]
        file = f"{stem}-{version}"
        write_wav(folder / "audio" / f"{file}.wav", np.clip(samples, -1, 1), sample_rate)
        plots.write_spectrogram(folder / "spectrograms" / f"{file}.png", power, loudest)
        players.append(
            {
                "version": version,
                "audio": f"audio/{file}.wav",
                "image": f"spectrograms/{file}.png",
                "sample_rate": sample_rate,
                "times_s": plots.ticks(len(samples) / sample_rate, 4),
                "frequencies_khz": plots.ticks(sample_rate / 2000, 4),
            }
        )
    values = [(name, row[f"before_{name}"], row[f"after_{name}"]) for name in scores]
    return row | {
        "scores": [(name, before, after) for name, before, after in values if (before, after) != (None, None)],
        "players": players,
    }


# Scores


def _histograms(corpus: _Corpus, thresholds: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "meaning": SCORES.get(name, ""),
            "before": _average(np.median, score.before),
            "after": _average(np.median, score.after),
            "threshold": thresholds.get(name),
            "sign": "≤" if name in plots.LOWER_IS_BETTER else "≥",
            "svg": plots.histogram_svg(name, score.before, score.after, thresholds.get(name)),
        }
        for name, score in corpus.scores.items()
        if score.measured
    ]


def _yields(corpus: _Corpus, gate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time kept against the threshold of the ranking score, the other checks of the gate and its guard as they are."""
    score = corpus.scores.get(RANKED_BY)
    if score is None or not score.measured:
        return None
    threshold = plots.gate_thresholds(gate)[RANKED_BY]
    values = {version: _gated(corpus, gate, version) for version in ("raw", "enhanced")}
    grid = plots.axis(np.concatenate([score.before, score.published]), threshold, 200)
    at = -np.inf if threshold is None else threshold
    return {
        "svg": plots.yield_svg(RANKED_BY, values, corpus.duration_s, threshold, grid),
        "threshold": threshold,
        "seconds": {
            version: 3600 * plots.hours_kept(RANKED_BY, value, corpus.duration_s, [at])[0]
            for version, value in values.items()
        },
    }


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
