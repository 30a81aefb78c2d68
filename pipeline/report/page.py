"""A finished run as one HTML folder: counts, scores before and after, clips to listen to, failures, timings.

The ledger is read in parts and never held: counts and sums are exact, curves of a long ledger are those of a sample.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.encode import write_wav
from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.types import Audio, Scores, Verdict
from clean_corpus.pipeline.quality.gate import decide
from clean_corpus.pipeline.quality.scorer import SCORES
from clean_corpus.pipeline.report import plots
from clean_corpus.pipeline.report.listening_picks import (
    RANKED_BY,
    ROWS_AT_ONCE,
    First,
    Group,
    batches,
    floats,
    hashes,
    picks,
    published,
    text,
)

Version = Literal["raw", "enhanced"]
AudioOf = Callable[[str, Version], tuple[Audio, int] | None]
"""(clip id, version) -> samples of full scale +-1 and their rate in Hz; None where there is no such version."""

SAMPLED = 100_000
"""Clips behind the histograms and the yield curve; of a longer ledger, those whose names have the smallest hashes."""

FAILED_SHOWN = 200
REASONS_SHOWN = 100


def write_report(ledger: pq.ParquetFile, run: Mapping[str, Any], out: Path, audio: AudioOf) -> Path:
    """The report of a run as folder `out`, replaced whole; every figure on it is computed from the ledger.

    The same ledger, run and audio give the same bytes. Players get 16-bit WAV: the one lossless format that every
    browser decodes, whatever its age, and that no encoder's version can change. `audio` is asked for the clips of
    `picks.picked` alone. Memory does not grow with the ledger: it is read twice, a part at a time.

    Shapes: ledger one row per clip; audio (N,) -> path of index.html.
    Raises: KeyError if the ledger lacks a column or `run` a section.
    """
    fresh, stale = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    for leftover in filter(Path.exists, (fresh, stale)):
        shutil.rmtree(leftover)
    (fresh / "audio").mkdir(parents=True)
    (fresh / "spectrograms").mkdir()
    heard = picks(ledger)
    corpus = _read(ledger, [clip_id for group in heard for clip_id in group.clip_ids])
    started = datetime.fromisoformat(run["started"])
    page = _TEMPLATES.get_template("report.html").render(
        run=run,
        name=PurePosixPath(run["input"]).name or run["input"],
        started=f"{started:%d %B %Y, %H:%M}",
        took_s=(datetime.fromisoformat(run["finished"]) - started).total_seconds(),
        summary=_summary(corpus),
        reasons=_reasons(corpus),
        n_drawn=len(corpus.sample.verdict),
        yields=_yields(corpus.sample, run["config"]["gate"]),
        histograms=_histograms(corpus.sample, plots.gate_thresholds(run["config"]["gate"])),
        unmeasured=[name for name, score in corpus.sample.scores.items() if not score.measured],
        groups=_groups(heard, corpus, audio, fresh),
        range_db=plots.RANGE_DB,
        failed=corpus.failed,
        n_failed=corpus.of(Verdict.FAILED).clips,
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


# Reading


class _Count(NamedTuple):
    clips: int = 0
    seconds: float = 0.0

    @classmethod
    def total(cls, counts: Iterable["_Count"]) -> "_Count":
        counts = list(counts)
        return cls(sum(count.clips for count in counts), sum(count.seconds for count in counts))


class _Mean:
    def __init__(self) -> None:
        self._n, self._sum = 0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        finite = plots.finite(values)
        self._n, self._sum = self._n + finite.size, self._sum + float(finite.sum())

    def value(self) -> float | None:
        return self._sum / self._n if self._n else None


class _Score(NamedTuple):
    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def measured(self) -> bool:
        return bool(np.isfinite(self.before).any() or np.isfinite(self.after).any())


@dataclass(frozen=True)
class _Sample:
    """The clips of the curves, by name; `duration_s` is scaled to add up to that of the whole ledger."""

    verdict: NDArray[np.object_]
    reason: NDArray[np.object_]
    chosen: NDArray[np.object_]
    duration_s: NDArray[np.float64]
    scores: dict[str, _Score]


@dataclass(frozen=True)
class _Corpus:
    """What a pass over the ledger leaves."""

    counts: Mapping[tuple[str, str], _Count]
    """(verdict, version if kept, else reason) -> clips and seconds."""
    guarded: int
    ovrl_before: float | None
    ovrl_after: float | None
    failed: list[dict[str, Any]]
    rows: Mapping[str, dict[str, Any]]
    """Clip id -> row of a clip to hear."""
    sample: _Sample

    def of(self, verdict: Verdict) -> _Count:
        return _Count.total(count for (end, _), count in self.counts.items() if end == verdict)


_CARD = ("clip_id", "source", "offset_s", "duration_s", "text", "verdict", "reason", "detail", "chosen", "chosen_why")


def _read(ledger: pq.ParquetFile, heard: Sequence[str]) -> _Corpus:
    names = [column.removeprefix("before_") for column in ledger.schema_arrow.names if column.startswith("before_")]
    scores = [f"{when}_{name}" for name in names for when in ("before", "after")]
    counts: dict[tuple[str, str], _Count] = {}
    guarded, ovrl_before, ovrl_after = 0, _Mean(), _Mean()
    failed = First(FAILED_SHOWN, ("clip_id", "ascending"))
    sample = First(SAMPLED, ("hash", "ascending"), ("clip_id", "ascending"))
    rows: dict[str, dict[str, Any]] = {}
    for batch in batches(ledger, [*_CARD, *scores]):
        part = pa.Table.from_batches([batch])
        at_kept = pc.equal(part["verdict"], Verdict.KEPT.value)
        _count(part, at_kept, counts)
        kept = part.filter(at_kept)
        guarded += len(kept) - kept["chosen_why"].null_count
        if RANKED_BY in names:
            before, after = (floats(kept[f"{when}_{RANKED_BY}"]) for when in ("before", "after"))
            ovrl_before.add(before)
            ovrl_after.add(published(before, after, text(kept["chosen"])))
        failed.add(
            part.filter(pc.equal(part["verdict"], Verdict.FAILED.value)).select(
                ["clip_id", "source", "offset_s", "reason", "detail"]
            )
        )
        for row in part.filter(pc.is_in(part["clip_id"], pa.array(heard, pa.string()))).to_pylist():
            rows[row["clip_id"]] = row
        sample.add(
            part.select(["clip_id", "verdict", "reason", "chosen", "duration_s", *scores]).append_column(
                "hash", pa.array(hashes(batch["clip_id"]))
            )
        )
    seconds = _Count.total(counts.values()).seconds
    return _Corpus(
        counts=counts,
        guarded=guarded,
        ovrl_before=ovrl_before.value(),
        ovrl_after=ovrl_after.value(),
        failed=[] if (found := failed.table()) is None else found.to_pylist(),
        rows=rows,
        sample=_sample(sample.table() or ledger.schema_arrow.empty_table(), names, ledger.metadata.num_rows, seconds),
    )


def _count(part: pa.Table, kept: pa.ChunkedArray, counts: dict[tuple[str, str], _Count]) -> None:
    """Add the clips of one part to `counts`."""
    ends = pa.table(
        {
            "verdict": part["verdict"],
            "label": pc.if_else(kept, part["chosen"], part["reason"]),
            "duration_s": part["duration_s"],
        }
    )
    # threads would add up in any order
    grouped = ends.group_by(["verdict", "label"], use_threads=False)
    for row in grouped.aggregate([("duration_s", "sum"), ([], "count_all")]).to_pylist():
        end = row["verdict"], str(row["label"])
        counts[end] = _Count.total([counts.get(end, _Count()), _Count(row["count_all"], row["duration_s_sum"])])


def _sample(table: pa.Table, names: Sequence[str], n_clips: int, seconds: float) -> _Sample:
    table = table.sort_by("clip_id")
    duration_s = floats(table["duration_s"])
    if len(table) < n_clips:
        duration_s = duration_s * (seconds / max(float(duration_s.sum()), 1e-12))
    return _Sample(
        **{name: text(table[name]) for name in ("verdict", "reason", "chosen")},
        duration_s=duration_s,
        scores={name: _Score(floats(table[f"before_{name}"]), floats(table[f"after_{name}"])) for name in names},
    )


# Where clips ended


def _summary(corpus: _Corpus) -> dict[str, Any]:
    return {
        **{verdict.value: corpus.of(verdict) for verdict in Verdict},
        "in": _Count.total(corpus.counts.values()),
        "guarded": corpus.guarded,
        "ovrl_before": corpus.ovrl_before,
        "ovrl_after": corpus.ovrl_after,
    }


def _reasons(corpus: _Corpus) -> list[dict[str, Any]]:
    """What clips of each verdict ended by, the most frequent first; those beyond REASONS_SHOWN as one."""
    total = _Count.total(corpus.counts.values())
    groups = []
    for verdict in Verdict:
        found = [(label, count) for (end, label), count in corpus.counts.items() if end == verdict]
        found.sort(key=lambda row: (-row[1].clips, row[0]))
        if others := found[REASONS_SHOWN:]:
            found[REASONS_SHOWN:] = [(f"{len(others):,} others", _Count.total(count for _, count in others))]
        rows = [_share(label, count, total) for label, count in found]
        groups.append(_share(verdict.value, corpus.of(verdict), total) | {"rows": rows})
    return groups


def _share(label: str, count: _Count, total: _Count) -> dict[str, Any]:
    return {
        "label": label,
        "clips": count.clips,
        "seconds": count.seconds,
        "clips_share": count.clips / max(total.clips, 1),
    }


# Clips to listen to


def _groups(heard: Iterable[Group], corpus: _Corpus, audio: AudioOf, folder: Path) -> list[dict[str, Any]]:
    groups = []
    number = 0
    for title, note, clip_ids in heard:
        cards = []
        for clip_id in clip_ids:
            number += 1
            cards.append(_card(corpus.rows[clip_id], corpus.sample.scores, audio, folder, f"{number:03}"))
        groups.append({"title": title, "note": note, "cards": cards})
    return groups


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


def _histograms(sample: _Sample, thresholds: Mapping[str, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "meaning": SCORES.get(name, ""),
            "before": _median(score.before),
            "after": _median(score.after),
            "threshold": thresholds.get(name),
            "sign": "≤" if name in plots.LOWER_IS_BETTER else "≥",
            "svg": plots.histogram_svg(name, score.before, score.after, thresholds.get(name)),
        }
        for name, score in sample.scores.items()
        if score.measured
    ]


def _median(values: NDArray[np.float64]) -> float | None:
    finite = plots.finite(values)
    return float(np.median(finite)) if finite.size else None


def _yields(sample: _Sample, gate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Time kept against the threshold of the ranking score, the other checks of the gate and its guard as they are."""
    score = sample.scores.get(RANKED_BY)
    if score is None or not score.measured:
        return None
    threshold = plots.gate_thresholds(gate)[RANKED_BY]
    values = {version: _gated(sample, gate, version) for version in ("raw", "enhanced")}
    grid = plots.axis(
        np.concatenate([score.before, published(score.before, score.after, sample.chosen)]), threshold, 200
    )
    at = -np.inf if threshold is None else threshold
    return {
        "svg": plots.yield_svg(RANKED_BY, values, sample.duration_s, threshold, grid),
        "threshold": threshold,
        "seconds": {
            version: 3600 * plots.hours_kept(RANKED_BY, value, sample.duration_s, [at])[0]
            for version, value in values.items()
        },
    }


def _gated(sample: _Sample, gate: Mapping[str, Any], version: Version) -> NDArray[np.float64]:
    """The ranking score that the gate would read with or without enhancement; NaN where another check rejects."""
    open_gate = GateConfig.model_validate({**gate, f"{RANKED_BY}_min": None})
    # Duplicates and the like end before the gate: no threshold brings them back.
    reached = (sample.verdict == Verdict.KEPT) | np.isin(sample.reason, [*sample.scores])
    values = np.full(len(reached), np.nan)
    rows = np.flatnonzero(reached)
    raw = _records({name: score.before for name, score in sample.scores.items()}, rows)
    enhanced = _records({name: score.after for name, score in sample.scores.items()}, rows)
    for row, before, found in zip(rows, raw, enhanced, strict=True):
        after = before if version == "raw" else found
        decision = decide(before, after, open_gate)
        if decision.verdict is Verdict.KEPT:
            value = (before if decision.chosen == "raw" else after)[RANKED_BY]
            values[row] = np.nan if value is None else value
    return values


def _records(columns: Mapping[str, NDArray[np.float64]], rows: NDArray[np.intp]) -> Iterator[Scores]:
    """The scores of some rows one after the other; a few thousand at a time become Python numbers."""
    for at in range(0, len(rows), ROWS_AT_ONCE):
        parts = (values[rows[at : at + ROWS_AT_ONCE]] for values in columns.values())
        for record in zip(*(np.where(np.isnan(part), None, part).tolist() for part in parts), strict=True):
            yield dict(zip(columns, record, strict=True))


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
