"""A finished run as one HTML folder: counts, scores before and after, clips to listen to, failures, timings."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Verdict
from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.quality.scorer import SCORES
from clean_corpus.pipeline.report import counts, plots
from clean_corpus.pipeline.report.cards import AudioOf, write_cards
from clean_corpus.pipeline.report.counts import Count, Figures, Sample
from clean_corpus.pipeline.report.listening_picks import picks
from clean_corpus.pipeline.report.own_names import is_of_report
from clean_corpus.pipeline.report.render import TEMPLATES, to_yaml
from clean_corpus.pipeline.report.replaced import replaced
from clean_corpus.pipeline.report.speaker_pages import write_speakers
from clean_corpus.pipeline.report.texts import texts
from clean_corpus.pipeline.report.yield_curve import yield_curve

REASONS_SHOWN = 100


def write_report(
    ledger: Path, run: Mapping[str, Any], out: Path, audio: AudioOf, embeddings: Iterable[Embedding] | None = None
) -> Path:
    """Write the report of a run as folder `out`, replaced whole; return the path of its index.html.

    Files that no report has stay in it.

    Every figure is computed from the ledger, in memory that does not grow with it. The same ledger, run and audio give
    the same bytes. Players get 16-bit WAV, the one lossless format that every browser decodes and that no encoder's
    version can change. `audio` is called for the clips of `listening_picks.picked` and `speaker_figures.picked` alone.
    `embeddings` holds the voices, where a run embedded them: speakers then have pages of their own.

    Shapes: ledger one row per clip; audio (N,).
    Raises: duckdb.Error if the ledger lacks a column; KeyError if `run` lacks a section.
    """
    with replaced(out, is_of_report) as fresh:
        (fresh / "audio").mkdir()
        (fresh / "spectrograms").mkdir()
        n_speakers = 0 if embeddings is None else write_speakers(ledger, embeddings, run, fresh, audio)
        html = _page(ledger, run, fresh, audio, n_speakers)
        # a path that is not UTF-8 arrives here with surrogate escapes
        (fresh / "index.html").write_text(html, encoding="utf-8", errors="backslashreplace")
    return out / "index.html"


def _page(ledger: Path, run: Mapping[str, Any], folder: Path, audio: AudioOf, n_speakers: int) -> str:
    """Return the page, with what it plays and shows written below the folder."""
    picked = picks(ledger)
    figures = counts.count(ledger, [clip_id for group in picked for clip_id in group.clip_ids])
    started = datetime.fromisoformat(run["started"])
    gate = run["config"]["gate"]
    return TEMPLATES.get_template("report.html").render(
        run=run,
        name=PurePosixPath(run["input"]).name or run["input"],
        started=f"{started:%d %B %Y, %H:%M}",
        took_s=(datetime.fromisoformat(run["finished"]) - started).total_seconds(),
        summary=_summary(figures),
        reasons=_reasons(figures),
        n_drawn=len(figures.sample.verdict),
        yields=yield_curve(figures.sample, gate),
        histograms=_histograms(figures.sample, plots.gate_thresholds(gate)),
        unmeasured=[name for name, score in figures.sample.scores.items() if not score.measured],
        texts=texts(ledger, gate),
        groups=write_cards(picked, figures, audio, folder),
        range_db=plots.RANGE_DB,
        failed=figures.failed,
        n_failed=figures.of(Verdict.FAILED).clips,
        n_speakers=n_speakers,
        settings={key: to_yaml(run[key]) for key in ("config", "versions", "rulers")},
    )


def _summary(figures: Figures) -> dict[str, Any]:
    return {
        **{verdict.value: figures.of(verdict) for verdict in Verdict},
        "in": Count.total(figures.ends.values()),
        "raw": sum(figures.raw.values()),
        "why_raw": figures.raw,
        "ovrl_before": figures.ovrl_before,
        "ovrl_after": figures.ovrl_after,
    }


def _reasons(figures: Figures) -> list[dict[str, Any]]:
    """Return how clips of each verdict ended, the most frequent reason first; those beyond REASONS_SHOWN as one."""
    total = Count.total(figures.ends.values())
    groups = []
    for verdict in Verdict:
        found = [(label, count) for (end, label), count in figures.ends.items() if end == verdict]
        found.sort(key=lambda row: (-row[1].clips, row[0]))
        if others := found[REASONS_SHOWN:]:
            found[REASONS_SHOWN:] = [(f"{len(others):,} others", Count.total(count for _, count in others))]
        rows = [_share(label, count, total) for label, count in found]
        groups.append(_share(verdict.value, figures.of(verdict), total) | {"rows": rows})
    return groups


def _share(label: str, count: Count, total: Count) -> dict[str, Any]:
    return {
        "label": label,
        "clips": count.clips,
        "seconds": count.seconds,
        "clips_share": count.clips / max(total.clips, 1),
    }


def _histograms(sample: Sample, thresholds: Mapping[str, float | None]) -> list[dict[str, Any]]:
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
