"""The gate: from the scores of a clip, raw and enhanced, to the version to publish and to its verdict."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.reasons import ChosenWhy, Reason, reason_of
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Clip, Decision, Scores, Verdict, Version

Bound = Literal["min", "max"]

CHECKS: tuple[tuple[str, Bound], ...] = (
    ("speech_ratio", "min"),
    ("clipping_ratio", "max"),
    ("bandwidth_hz", "min"),
    ("snr_db", "min"),
    ("dnsmos_sig", "min"),
    ("dnsmos_bak", "min"),
    ("dnsmos_ovrl", "min"),
    ("dnsmos_p808", "min"),
    ("distillmos", "min"),
)
"""(score, bound) in the order of the checks; the first that fails names the rejection."""

UNMENDABLE: tuple[tuple[str, Bound], ...] = (("clipping_ratio", "max"), ("bandwidth_hz", "min"))
"""Checks of faults that no network mends: they are read from the recording, whatever the version."""

GUARD: tuple[tuple[str, str, int], ...] = (
    ("dnsmos_sig", "guard_sig_drop", -1),
    ("clipping_ratio", "guard_clipping_rise", 1),
    ("loudness_lufs", "guard_level_drop_db", -1),
)
"""(score, setting, sign) of changes by enhancing that are damage where sign * change exceeds the setting."""

QUIET_SNR_DB = 25.0
"""SNR of a clip from which enhancing leaves its voice as alike as gate.guard_likeness_min."""

LIKENESS_PER_DB = 0.02
"""By how much less alike for each dB below."""

STRICTER = ("bandwidth_hz", "snr_db", "dnsmos_bak")
"""Scores that have a threshold of their own, gate.raw_SCORE_min, for a raw clip that is not to be enhanced."""


def refuse_unreachable(config: GateConfig, ceilings: dict[str, float]) -> None:
    """Refuse a threshold that no clip can reach, before the first clip is scored.

    Raises: ConfigError that names threshold and ceiling.
    """
    lowest = [(score, f"{score}_min") for score, bound in CHECKS if bound == "min"]
    for score, name in [*lowest, *((score, f"raw_{score}_min") for score in STRICTER)]:
        limit, ceiling = getattr(config, name), ceilings.get(score)
        if limit is not None and ceiling is not None and limit > ceiling:
            raise ConfigError(
                f"gate.{name} {limit} cannot be reached: this ruler ends at {ceiling}; choose a lower threshold"
            )


def recorded(clip: Clip) -> Scores:
    """Return the scores that are read from the recording at its own rate, those of them that were measured there."""
    scores: Scores = {"clipping_ratio": clip.clipping_ratio, "bandwidth_hz": clip.bandwidth_hz}
    return {name: value for name, value in scores.items() if value is not None}


# ---- which version -----------------------------------------------------------------------------------------------


def damage(before: Scores, after: Scores, config: GateConfig, likeness: float | None = None) -> str | None:
    """Return in numbers why the enhanced version must not replace the raw one, or None.

    A score that the raw version has and the enhanced one lacks is damage too: silence has no signal score, and where
    all speech is gone there is no SNR. The level is measured as loudness, which lost speech lowers; it may also fall by
    the share of the background in it, so that removing noise that is louder than the speech is no damage. `likeness` is
    that of the two versions' voices, where it is known.
    """
    noise_db = _background_db(before.get("snr_db"))
    for score, setting, sign in GUARD:
        limit = getattr(config, setting) + (noise_db if score == "loudness_lufs" else 0.0)
        old, new = before.get(score), after.get(score)
        if old is not None and new is not None and sign * (new - old) > limit:
            return f"{score} {old:.4g} -> {new:.4g}, allowed {sign * limit:+.4g}"
    for score, old in before.items():
        if old is not None and after.get(score) is None:
            return f"{score} {plain(old)} -> not measurable"
    least = least_likeness(before.get("snr_db"), config.guard_likeness_min)
    if likeness is not None and least is not None and likeness < least:
        return f"voice_likeness {likeness:.4g} < {least:.4g}"
    return None


def least_likeness(snr_db: float | None, limit: float | None) -> float | None:
    """Return how alike the voices of a clip before and after enhancing have to be, given the SNR before, or None.

    Noise is heard as part of a voice: the more there is, the more removing it changes.

    >>> [least_likeness(snr_db, 0.75) for snr_db in (30.0, 15.0, None)], least_likeness(30.0, None)
    ([0.75, 0.55, None], None)
    """
    if snr_db is None or limit is None:
        return None
    return round(limit - LIKENESS_PER_DB * max(0.0, QUIET_SNR_DB - snr_db), 6)


def _background_db(snr_db: float | None) -> float:
    """Return by how much the background raises the level of the speech, dB.

    >>> [round(_background_db(snr_db), 1) for snr_db in (0.0, 30.0, None)]
    [3.0, 0.0, 0.0]
    """
    return 0.0 if snr_db is None else 10 * math.log10(1 + 10 ** (-snr_db / 10))


def choose(before: Scores, after: Scores | None, config: GateConfig, own: Scores) -> tuple[Version, ChosenWhy, str]:
    """Return the version of a clip to publish if it passes the thresholds, why, and that in numbers.

    `own` holds the scores that are read from the recording, whatever the version, residual_snr_db, and voice_likeness
    where voices are embedded.
    """
    if after is None:
        return "raw", ChosenWhy.NOT_ENHANCED, "enhancer is none"
    if harm := damage(before, after, config, own.get("voice_likeness")):
        return "raw", ChosenWhy.DAMAGE, harm
    if config.prefer == "enhanced":
        return "enhanced", ChosenWhy.ENHANCED_PREFERRED, "gate.prefer is enhanced"
    scores = before | own
    limits = [*_limits(config, of_raw=True)]
    if (limit := config.raw_residual_snr_db_min) is not None:
        limits.append(("residual_snr_db", "min", limit))
    for score, bound, limit in limits:
        if problem := shortfall(score, bound, limit, scores.get(score)):
            return "enhanced", ChosenWhy.RAW_FALLS_SHORT, problem
    met = [f"{s} {plain(scores[s])} >= {limit:g}" for s, _, limit in limits if s in (*STRICTER, "residual_snr_db")]
    return "raw", ChosenWhy.RAW_IS_GOOD, ", ".join(met)


def _limits(config: GateConfig, *, of_raw: bool = False) -> Iterator[tuple[str, Bound, float]]:
    """Yield score, bound and threshold of each check; `of_raw` those of a clip that is not to be enhanced."""
    for score, bound in CHECKS:
        limits = [getattr(config, f"{score}_{bound}")]
        if of_raw and score in STRICTER:
            limits.append(getattr(config, f"raw_{score}_min"))
        limits = [limit for limit in limits if limit is not None]
        if limits:
            yield score, bound, max(limits)


def shortfall(score: str, bound: Bound, limit: float, value: float | None) -> str | None:
    """Return in numbers how a score falls short of a threshold, None if it does not.

    >>> shortfall("snr_db", "min", 10.0, 9.5), shortfall("snr_db", "min", 10.0, 10.0)
    ('snr_db 9.5 < 10', None)
    """
    if value is None:
        return f"{score} could not be measured, wanted {'>=' if bound == 'min' else '<='} {limit:g}"
    if (value < limit) if bound == "min" else (value > limit):
        return f"{score} {plain(value)} {'<' if bound == 'min' else '>'} {limit:g}"
    return None


def plain(value: float) -> str:
    """Return a score in four digits, or in whole units where it has more.

    >>> plain(2.34567), plain(19562.5)
    ('2.346', '19562')
    """
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


# ---- verdict -----------------------------------------------------------------------------------------------------


def decide(before: Scores, after: Scores | None, config: GateConfig, own: Scores | None = None) -> Decision:
    """Keep or reject one clip that was scored raw and enhanced, or raw alone where `after` is None.

    First the version to publish is chosen; the thresholds apply to that one. A score that could not be measured
    rejects: what is not known to be good is not kept. Clipping and bandwidth are faults of the recording that no mask
    mends, so they are those of `own`, measured at the recording's own rate, or else of the raw version.

    >>> decide({"dnsmos_ovrl": 3.0}, {"dnsmos_ovrl": 2.0}, GateConfig.model_construct(
    ...     guard_sig_drop=0.1, guard_clipping_rise=0.1, guard_level_drop_db=6, prefer="enhanced",
    ...     dnsmos_ovrl_min=2.4, **{f"{s}_{b}": None for s, b in CHECKS if s != "dnsmos_ovrl"})).detail
    'dnsmos_ovrl 2 < 2.4'
    """
    of_recording = {name: before.get(name) for name, _ in UNMENDABLE} | (own or {})
    chosen, why, numbers = choose(before, after, config, of_recording)
    scores = (before if after is None or chosen == "raw" else after) | of_recording
    # what the recording alone decides comes first, so that the reason is the same whether or not a network ran
    for score, bound, limit in sorted(_limits(config), key=lambda check: check[0] not in (own or {})):
        if problem := shortfall(score, bound, limit, scores.get(score)):
            return Decision(Verdict.REJECTED, Reason(score), problem, chosen, f"{why}: {numbers}")
    return Decision(Verdict.KEPT, None, None, chosen, f"{why}: {numbers}")


def decide_text(decision: Decision, cer: float | None, config: GateConfig) -> Decision:
    """Reject a clip that would be kept if its text is not what a recogniser heard.

    >>> decide_text(Decision(Verdict.KEPT), 0.5, GateConfig(cer_max=0.2)).detail
    'cer 0.5 > 0.2'
    """
    if decision.verdict is not Verdict.KEPT or config.cer_max is None:
        return decision
    problem = shortfall("cer", "max", config.cer_max, cer)
    return replace(decision, verdict=Verdict.REJECTED, reason=Reason.CER, detail=problem) if problem else decision


def upsampled(decision: Decision, clip: Clip, config: GateConfig) -> Decision:
    """Return a rejection for bandwidth under the name `upsampled`, where a lower sample rate is why.

    Either the file's own rate cannot hold the least bandwidth, or its spectrum ends as a resampler's does.
    """
    limit, rate = config.bandwidth_hz_min, clip.sample_rate_in_hz
    if decision.reason is not Reason.BANDWIDTH_HZ or limit is None or rate is None:
        return decision
    if rate / 2 < limit:
        why = f"its file has {rate} Hz"
    elif clip.cutoff_hz is not None and clip.cutoff_hz < limit:
        why = f"its spectrum ends at {clip.cutoff_hz:.0f} Hz, its file holds {rate // 2}"
    else:
        return decision
    return replace(decision, reason=Reason.UPSAMPLED, detail=f"{decision.detail}: {why}")


def failed(error: str) -> Decision:
    """Return the end of a clip that an error took; its text is the detail.

    >>> str(failed("truncated: header announces 2 s").reason)
    'truncated'
    """
    return Decision(Verdict.FAILED, reason_of(error), error)


def settled(clip: Clip) -> Decision | None:
    """Return the end of a clip that needs no scores: it failed, or was rejected before any network ran."""
    if clip.error:
        end = failed(clip.error)
        return replace(end, verdict=Verdict.REJECTED) if end.reason == Reason.FORGOTTEN else end
    return Decision(Verdict.REJECTED, *clip.reject) if clip.reject else None


# ---- before any network runs -------------------------------------------------------------------------------------


def unmendable(clip: Clip, config: GateConfig) -> tuple[Reason, str] | None:
    """Return the fault of a recording for which a clip is rejected whatever its scores, None if it has none.

    >>> unmendable(Clip("a", "a.wav", None, clipping_ratio=0.01, bandwidth_hz=3000.0), GateConfig().at_rate(16000))
    (<Reason.CLIPPING_RATIO: 'clipping_ratio'>, 'clipping_ratio 0.01 > 0.002')
    """
    own = recorded(clip)
    for score, bound, limit in _limits(config):
        if (score, bound) in UNMENDABLE and score in own and (problem := shortfall(score, bound, limit, own[score])):
            decision = upsampled(Decision(Verdict.REJECTED, Reason(score), problem), clip, config)
            return decision.reason or Reason(score), decision.detail or problem
    return None


def without_unmendable(raw: RawShard, config: PipelineConfig) -> RawShard:
    """Return a shard with every clip rejected that no network mends, so that none runs for it; unless `score.all`."""
    if config.score.all:
        return raw
    clips = [replace(clip, reject=clip.reject or unmendable(clip, config.gate)) for clip in raw.clips]
    return replace(raw, clips=clips)


def to_score(raw: RawShard, config: PipelineConfig) -> list[Clip]:
    """Return the clips whose raw version is scored: those to enhance, and the copies that may be better than another.

    A copy that no network mends is not: those without such a fault are better anyway.
    """

    def is_wanted(clip: Clip) -> bool:
        if clip.reject and clip.reject[0] != Reason.NEAR_DUPLICATE:
            return False
        return config.score.all or not unmendable(clip, config.gate)

    return [clip for clip in raw.clips if is_wanted(clip)]
