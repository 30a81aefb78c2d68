"""What people decided against what the gate said, and the thresholds that would agree best with people.

People decide over clips that they chose to hear, often those near a threshold; so agreement is that over these clips,
and what intervals say is how far another choice of as many such clips could move it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clean_corpus.flows.review import thresholds
from clean_corpus.flows.review.corpus import Corpus
from clean_corpus.flows.review.table import Table
from clean_corpus.pipeline.quality.gate import CHECKS, STRICTER, UNMENDABLE

RESAMPLES, SEED = 1000, 0
LEVEL = (0.025, 0.975)
LEAST = 10  # decided clips from which thresholds can be told apart at all
MOST = 5000  # decided clips, drawn by lot, that thresholds are tried on
CANDIDATES = 200  # thresholds of one setting that are tried

Kept = NDArray[np.bool_]
"""Whether the gate keeps a clip, (N, C) for C thresholds."""


def agreement(corpus: Corpus) -> dict[str, Any]:
    """Return how often people and the gate agree, where they do not, and the thresholds under which they would most.

    A confusion table has a row for what the gate keeps and one for what it rejects, and in each what people keep and
    what they reject. The interval of agreement is Clopper-Pearson's, since few clips that all agree prove no more than
    few; those of thresholds hold 95 of 100 resamples of the decided clips.
    """
    people = {row: r.verdict == "keep" for row, r in corpus.deciding.reviewed().items() if r.verdict is not None}
    clips = _gate_of(corpus.table, people)
    gate, person = (np.array([clip[name] for clip in clips], bool) for name in ("gate_keeps", "person"))
    same = gate == person
    judged = [clip for clip in clips if clip["judged"] and not clip["unscored"]]
    return {
        "decided": len(clips),
        "agree": float(same.mean()) if len(clips) else None,
        "agree_interval": _share_interval(same),
        "confusion": [[int(np.sum((gate == g) & (person == p))) for p in (True, False)] for g in (True, False)],
        "by_reason": _by_reason(clips),
        "best": _best(corpus.table, judged[:MOST]),
    }


def _gate_of(table: Table, people: Mapping[int, bool]) -> list[dict[str, Any]]:
    """Return what the gate said of decided clips, in the order of their lots; those that failed are left out."""
    failed = table.number("verdict", "failed")
    question = """SELECT row, gate_keeps, gate_reason, judged, unscored FROM clips
                  WHERE list_contains($rows, row) AND verdict <> $failed ORDER BY lot, row"""
    found = table.records(question, {"rows": list(people), "failed": failed})
    return [clip | {"person": people[clip["row"]]} for clip in found]


def _by_reason(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each reason of the gate, "" where it kept, how many clips people decided and agreed on."""
    found: dict[str, list[bool]] = {}
    for clip in clips:
        found.setdefault(clip["gate_reason"] or "", []).append(clip["gate_keeps"] == clip["person"])
    rows = [{"reason": reason, "decided": len(same), "agree": sum(same)} for reason, same in found.items()]
    return sorted(rows, key=lambda row: (-row["decided"], row["reason"]))


def _share_interval(same: NDArray[np.bool_]) -> list[float] | None:
    if not len(same):
        return None
    from scipy import stats  # takes a second, which a page that is not asked for agreement opens without

    bounds = stats.binomtest(int(same.sum()), len(same)).proportion_ci(LEVEL[1] - LEVEL[0], method="exact")
    return [float(bounds.low), float(bounds.high)]


# ---- thresholds ------------------------------------------------------------------------------------------------


def _best(table: Table, clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each setting, moved alone, the threshold that agrees best, those that could be it, and the agreement.

    Nothing where people only kept, or only rejected, or decided too little to tell.
    """
    person = np.array([clip["person"] for clip in clips], bool)
    if len(clips) < LEAST or person.all() or not person.any():
        return []
    rows = [clip["row"] for clip in clips]
    counts = np.random.default_rng(SEED).multinomial(len(clips), np.full(len(clips), 1 / len(clips)), RESAMPLES)
    weights = counts.astype(np.float32) / np.float32(len(clips))  # (B, N)
    found = []
    for key, columns in _settings():
        now = getattr(table.config.gate, key)
        candidates = _candidates(table, rows, columns, now)
        if len(candidates) > 1:
            same = _kept(table, rows, key, candidates) == person[:, None]  # (N, C)
            now_same = _kept(table, rows, key, [now])[:, 0] == person
            found.append(_chosen(key, np.array(candidates), same, weights, now, float(now_same.mean())))
    return found


def _settings() -> list[tuple[str, tuple[str, ...]]]:
    """Return each setting that is tried, and the columns whose values it is held against."""
    recorded = {score for score, _ in UNMENDABLE}
    found = [
        (f"{score}_{bound}", (f"s_{score}",) if score in recorded else (f"before_{score}", f"after_{score}"))
        for score, bound in CHECKS
    ]
    found += [
        (f"raw_{score}_min", ("s_bandwidth_hz",) if score in recorded else (f"before_{score}",)) for score in STRICTER
    ]
    return [*found, ("raw_residual_snr_db_min", ("residual_snr_db",)), ("cer_max", ("cer",))]


def _candidates(table: Table, rows: list[int], columns: tuple[str, ...], now: float | None) -> list[float]:
    """Return thresholds that part the decided clips in every way, at most CANDIDATES, and the one of the run."""
    if columns[0].startswith("s_") and columns[0][2:] not in table.scores:
        return []
    listed = f"[{', '.join(columns)}]"
    question = f"SELECT DISTINCT unnest({listed}) AS value FROM clips WHERE list_contains($rows, row) ORDER BY value"
    values = np.array([v for (v,) in table.rows(question, {"rows": rows}) if v is not None], np.float64)
    if len(values) < 2:
        return []
    steps = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:]])
    if len(steps) > CANDIDATES:
        steps = steps[np.linspace(0, len(steps) - 1, CANDIDATES).round().astype(int)]
    rounded = {float(f"{step:.5g}") for step in steps}
    return sorted(rounded | ({float(now)} if now is not None else set()))


def _kept(table: Table, rows: list[int], key: str, candidates: list[float | None]) -> Kept:
    """Return which clips the gate keeps under each value of a setting, all others as they are; None: it is off."""
    limits = dict(thresholds.literal(table.config.gate)) | {key: None if candidates == [None] else "t.value"}
    keeps = thresholds.passes(limits, table.config, harmed="harmed")
    values = [0.0] if candidates == [None] else candidates
    question = f"""SELECT {keeps} FROM (SELECT unnest($values) AS value, unnest(range(len($values))) AS n) t,
                   (SELECT unnest($rows) AS row, unnest(range(len($rows))) AS place) r JOIN clips USING (row)
                   ORDER BY r.place, t.n"""
    found = table.rows(question, {"values": values, "rows": rows})
    return np.array([keep for (keep,) in found], bool).reshape(len(rows), len(values))


def _chosen(
    key: str,
    candidates: NDArray[np.float64],
    same: NDArray[np.bool_],
    weights: NDArray[np.float32],
    now: float | None,
    agreement_now: float,
) -> dict[str, Any]:
    """Return the threshold that agrees best, of equals the one nearest to the run's; and what resamples make of it.

    The interval goes from the least to the greatest threshold that is among the best of a resample, so it is wide where
    the decided clips do not tell.
    Shapes: candidates (C,), same (N, C), weights (B, N).
    """
    shares = same.mean(0)
    best = np.flatnonzero(shares >= shares.max() - 1e-9)
    middle = candidates[best[len(best) // 2]] if now is None else now
    threshold = candidates[best[np.argmin(np.abs(candidates[best] - middle))]]
    resampled = weights @ same.astype(np.float32)  # (B, C)
    among = resampled >= resampled.max(1, keepdims=True) - 1e-6
    ends = candidates[among.argmax(1)], candidates[among.shape[1] - 1 - among[:, ::-1].argmax(1)]
    return {
        "setting": f"{thresholds.PREFIX}{key}",
        "threshold": float(threshold),
        "interval": [float(np.quantile(end, q)) for end, q in zip(ends, LEVEL, strict=True)],
        "agreement": float(shares.max()),
        "agreement_now": agreement_now,
        "n": len(same),
    }
