"""The gate: from the scores of a clip, raw and enhanced, to its verdict; and the guard against damage."""

from typing import Literal

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.reasons import Reason, reason_of
from clean_corpus.pipeline.core.types import Clip, Decision, Scores, Verdict

CHECKS: tuple[tuple[str, Literal["min", "max"]], ...] = (
    ("speech_ratio", "min"),
    ("clipping_ratio", "max"),
    ("bandwidth_hz", "min"),
    ("snr_db", "min"),
    ("dnsmos_sig", "min"),
    ("dnsmos_bak", "min"),
    ("dnsmos_ovrl", "min"),
    ("dnsmos_p808", "min"),
)
"""(score, bound) in the order of the checks; the first that fails names the rejection."""


def refuse_unreachable(config: GateConfig, ceilings: dict[str, float]) -> None:
    """Refuse a threshold that no clip can reach, before the first clip is scored.

    Raises: ConfigError that names threshold and ceiling.
    """
    for score, bound in CHECKS:
        limit = getattr(config, f"{score}_{bound}")
        ceiling = ceilings.get(score)
        if bound == "min" and limit is not None and ceiling is not None and limit > ceiling:
            raise ConfigError(
                f"gate.{score}_min {limit} cannot be reached: this ruler ends at {ceiling}; choose a lower threshold"
            )


def damage(before: Scores, after: Scores, config: GateConfig) -> str | None:
    """Return why the enhanced version must not replace the raw one, or None.

    The level is measured as loudness, which lost speech lowers and a quieter background hardly does.
    """
    checks = (
        ("dnsmos_sig", "enhancement lowered", config.guard_sig_drop, -1),
        ("clipping_ratio", "enhancement raised", config.guard_clipping_rise, 1),
        ("loudness_lufs", "enhancement lowered", config.guard_level_drop_db, -1),
    )
    for score, what, limit, sign in checks:
        old, new = before.get(score), after.get(score)
        if old is not None and new is not None and sign * (new - old) > limit:
            return f"{what} {score}: {old:.4g} -> {new:.4g}, allowed {limit:g}"
    return None


def decide(before: Scores, after: Scores, config: GateConfig) -> Decision:
    """Keep or reject one clip that was scored raw and enhanced.

    The guard chooses the version to publish; the thresholds apply to that one. A score that could not be measured
    rejects: what is not known to be good is not kept. Clipping and bandwidth are faults of the recording that no mask
    mends, so they are read from the raw version.

    >>> decide({"dnsmos_ovrl": 3.0}, {"dnsmos_ovrl": 2.0}, GateConfig.model_construct(
    ...     guard_sig_drop=0.1, guard_clipping_rise=0.1, guard_level_drop_db=6,
    ...     dnsmos_ovrl_min=2.4, **{f"{s}_{b}": None for s, b in CHECKS if s != "dnsmos_ovrl"})).detail
    'dnsmos_ovrl 2 < 2.4'
    """
    why = damage(before, after, config)
    chosen: Literal["raw", "enhanced"] = "raw" if why else "enhanced"
    scores = before if why else after
    for score, bound in CHECKS:
        limit = getattr(config, f"{score}_{bound}")
        if limit is None:
            continue
        value = (before if score in ("clipping_ratio", "bandwidth_hz") else scores).get(score)
        if value is None:
            detail = f"{score} could not be measured, wanted {'>=' if bound == 'min' else '<='} {limit:g}"
            return Decision(Verdict.REJECTED, Reason(score), detail, chosen, why)
        if (value < limit) if bound == "min" else (value > limit):
            detail = f"{score} {value:.4g} {'<' if bound == 'min' else '>'} {limit:g}"
            return Decision(Verdict.REJECTED, Reason(score), detail, chosen, why)
    return Decision(Verdict.KEPT, None, None, chosen, why)


def failed(error: str) -> Decision:
    """Return the end of a clip that an error took; its text is the detail.

    >>> str(failed("truncated: header announces 2 s").reason)
    'truncated'
    """
    return Decision(Verdict.FAILED, reason_of(error), error)


def settled(clip: Clip) -> Decision | None:
    """Return the end of a clip that needs no scores: it failed, or was rejected before any network ran."""
    if clip.error:
        return failed(clip.error)
    return Decision(Verdict.REJECTED, *clip.reject) if clip.reject else None
