"""The gate's rules as expressions of SQL over the rows of a ledger: thresholds tried on a million clips at once.

They are made of the gate's own tables of rules. tests/flows/review/test_thresholds.py holds them to the gate itself,
clip by clip.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from clean_corpus.pipeline.quality import gate as rules
from clean_corpus.pipeline.quality.gate import CHECKS, GUARD, STRICTER, UNMENDABLE, Bound
from clean_corpus.pipeline.quality.scorer import SCORES

SETTINGS = (
    *(f"{score}_{bound}" for score, bound in CHECKS),
    *(f"raw_{score}_min" for score in STRICTER),
    "raw_residual_snr_db_min",
    *(setting for _, setting, _ in GUARD),
    "guard_likeness_min",
)
"""Numbers of the gate that decide over a clip by its scores."""

Limits = Mapping[str, str | None]
"""Setting of SETTINGS -> the expression that stands for its value, a parameter or a column; None: the check is off."""

_Check = tuple[str, Bound, str | None]
"""The expression of a value, and the limit that it must not fall short of."""

_RECORDED = {score: f"coalesce({score}, before_{score})" for score, _ in UNMENDABLE}
"""Faults of the recording, measured at its own rate where they were, else those of the raw version."""


def _of_version(score: str, chosen: str) -> str:
    if score in _RECORDED:
        return _RECORDED[score]
    return f"CASE WHEN {chosen} = 'enhanced' THEN after_{score} ELSE before_{score} END"


UNSCORED = f"coalesce({', '.join(f'before_{score}' for score in SCORES)}) IS NULL"
"""Whether no network heard a clip: what would become of it under other thresholds, nobody knows before one does."""

PUBLISHED: dict[str, str] = {score: _of_version(score, "chosen") for score in SCORES}
"""Score -> the value that the gate judges of a clip, that of the version that was chosen."""


def chosen(limits: Limits, *, prefer: str, harmed: str | None = None) -> str:
    """Return the expression of the version to publish, 'raw' or 'enhanced', as `gate.choose` does.

    `harmed` stands for the expression of that name where it is known already.
    """
    keeps_raw = "false" if prefer == "enhanced" else f"NOT ({_any(_raw_shortfalls(limits))})"
    return f"CASE WHEN ({harmed or harmed_by(limits)}) OR {keeps_raw} THEN 'raw' ELSE 'enhanced' END"


def harmed_by(limits: Limits) -> str:
    """Return the expression of whether a clip has no enhanced version, or one that must not replace the raw one."""
    is_enhanced = f"coalesce({', '.join(f'after_{score}' for score in SCORES)}) IS NOT NULL"
    return f"NOT ({is_enhanced}) OR {damage(limits)}"


def damage(limits: Limits) -> str:
    """Return the expression of whether the enhanced version must not replace the raw one, as `gate.damage` does."""
    allowed = {setting: limits[setting] for _, setting, _ in GUARD}
    noise_db = "(CASE WHEN before_snr_db IS NULL THEN 0.0 ELSE 10 * log10(1 + pow(10, -before_snr_db / 10)) END)"
    allowed["guard_level_drop_db"] = f"({allowed['guard_level_drop_db']} + {noise_db})"
    found = [
        f"({sign} * (after_{score} - before_{score}) > {allowed[setting]})"  # null where one was not measured
        for score, setting, sign in GUARD
    ]
    found += [f"(before_{score} IS NOT NULL AND after_{score} IS NULL)" for score in SCORES]
    if (limit := limits["guard_likeness_min"]) is not None:
        below_db = f"greatest(0.0, {rules.QUIET_SNR_DB} - before_snr_db)"
        found.append(
            f"(before_snr_db IS NOT NULL AND voice_likeness < round({limit} - {rules.LIKENESS_PER_DB} * {below_db}, 6))"
        )
    return _any(f"coalesce({one}, false)" for one in found)


def _raw_shortfalls(limits: Limits) -> Iterable[str]:
    """Yield an expression of how a raw clip falls short of being published as it is, for each threshold that is on."""
    for score, bound in CHECKS:
        value = _RECORDED.get(score, f"before_{score}")
        found = [limits[f"{score}_{bound}"], limits[f"raw_{score}_min"] if score in STRICTER else None]
        yield from (_shortfall(value, bound, limit) for limit in found if limit is not None)
    if (limit := limits["raw_residual_snr_db_min"]) is not None:
        yield _shortfall("residual_snr_db", "min", limit)


def _shortfall(value: str, bound: Bound, limit: str) -> str:
    return f"coalesce({value} {'<' if bound == 'min' else '>'} {limit}, true)"


def reason(limits: Limits, chosen: str) -> str:
    """Return the expression of the score that rejects a clip, null for one that passes; `chosen` gives its version.

    What was measured of the recording comes first, as in `gate.decide`.
    """
    cases = [*_recorded_cases(limits)]
    cases += [
        f"WHEN {_shortfall(_of_version(score, chosen), bound, limit)} THEN '{score}'"
        for score, bound in CHECKS
        if (limit := limits[f"{score}_{bound}"]) is not None
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def unmendable(limits: Limits) -> str:
    """Return the expression of whether the recording alone rejects a clip, as `gate.unmendable` does."""
    cases = " ".join(_recorded_cases(limits))
    return f"(CASE {cases} END) IS NOT NULL" if cases else "false"


def _recorded_cases(limits: Limits) -> Iterator[str]:
    for score, bound in CHECKS:
        if score in _RECORDED and (limit := limits[f"{score}_{bound}"]) is not None:
            yield f"WHEN {score} IS NOT NULL AND {_shortfall(score, bound, limit)} THEN '{score}'"


def differences(limits: Limits, others: Limits) -> str:
    """Return the expression of whether any check of a clip comes out otherwise under other limits.

    Where none does, nor the guard, the clip ends as before: what is left are few clips to decide anew.
    """
    found = [*_outcomes(_checks(limits), _checks(others))]
    if any(limits[setting] != others[setting] for _, setting, _ in GUARD) or (
        limits["guard_likeness_min"] != others["guard_likeness_min"]
    ):
        found.append(f"({harmed_by(limits)}) <> ({harmed_by(others)})")
    return _any(found)


def _outcomes(limits: Sequence[_Check], others: Sequence[_Check]) -> Iterator[str]:
    for (value, bound, limit), (_, _, other) in zip(limits, others, strict=True):
        if limit != other:
            yield f"({_fails(value, bound, limit)}) <> ({_fails(value, bound, other)})"


def _checks(limits: Limits) -> list[_Check]:
    """Return every value of a clip that is held against a limit: of both versions, and those of a raw clip alone."""
    found = []
    for score, bound in CHECKS:
        values = [_RECORDED[score]] if score in _RECORDED else [f"before_{score}", f"after_{score}"]
        found += [(value, bound, limits[f"{score}_{bound}"]) for value in values]
    for score in STRICTER:
        found.append((_RECORDED.get(score, f"before_{score}"), "min", limits[f"raw_{score}_min"]))
    return [*found, ("residual_snr_db", "min", limits["raw_residual_snr_db_min"])]


def _fails(value: str, bound: Bound, limit: str | None) -> str:
    return "false" if limit is None else _shortfall(value, bound, limit)


def margins(limits: Limits, spread: Callable[[str], str]) -> list[str]:
    """Return by how much a clip passes each check, below 0 where it fails, in units of the spread of each score."""
    return [
        f"({'' if bound == 'min' else '-'}1 * ({PUBLISHED[score]} - {limit}) / {spread(score)})"
        for score, bound in CHECKS
        if (limit := limits[f"{score}_{bound}"]) is not None
    ]


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(conditions) or "false"
