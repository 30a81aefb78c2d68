"""Texts of a run's kept clips: where they are from, and how far what was heard differs from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clean_corpus.pipeline.corpus.ledger import opened
from clean_corpus.pipeline.report import plots

SAMPLED = 100_000
"""Clips behind the histogram; of a longer ledger, those whose names have the smallest hashes."""

SOURCES = {
    "manifest": "of a recording that is one clip",
    "timed": "by time stamps",
    "aligned": "found by an aligner",
    "asr": "heard by a recogniser",
    "cut": "none: cut from a recording whose text nothing divides",
    "none": "none",
}
"""Where a text is from -> the same in words."""

_SOURCE = (
    "CASE WHEN text IS NOT NULL THEN coalesce(text_source, 'manifest') "
    "WHEN recording_text IS NOT NULL THEN 'cut' ELSE 'none' END"
)


def texts(ledger: Path, gate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the shares of kept clips by where their text is from, and the character error rates of clips heard.

    None for a run without any text, or a ledger from before texts had a source.
    """
    with opened(ledger) as connection:
        if not {"text_source", "recording_text", "cer"} <= set(connection.view("ledger").columns):
            return None
        count = f"SELECT {_SOURCE} AS source, count(*) FROM ledger WHERE verdict = 'kept' GROUP BY ALL"
        counted = dict(connection.sql(count).fetchall())
        rates = connection.sql(
            f"SELECT cer FROM ledger WHERE cer IS NOT NULL ORDER BY sha256(clip_id) LIMIT {SAMPLED}"
        ).to_arrow_table()
    if not counted.keys() - {"none"} and not len(rates):
        return None
    total = sum(counted.values())
    rows = [
        {"name": name, "meaning": meaning, "clips": counted[name], "share": counted[name] / total}
        for name, meaning in SOURCES.items()
        if name in counted
    ]
    return {"rows": rows, "cer": _error_rates(np.asarray(rates["cer"], np.float64), gate.get("cer_max"))}


def _error_rates(rates: np.ndarray, limit: float | None) -> dict[str, Any] | None:
    if not rates.size:
        return None
    drawn = plots.histogram_svg("cer", rates, np.zeros(0), limit)
    return {"svg": drawn, "median": float(np.median(rates)), "clips": rates.size, "threshold": limit}
