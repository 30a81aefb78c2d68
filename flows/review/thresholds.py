"""The gate decided anew: what other thresholds would keep, of every clip, by the rules of `quality.gate_sql`.

What is not decided by scores stays as it is: failures, copies, cuts, the pace of texts, and a person's verdict. A clip
that its speaker's other clips reject stays rejected, and one that would come in is held to its own voice's constancy
and, if it was heard, to its text. One that no network heard, for what its recording is, is nobody's to decide: a run
would score it first.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.quality import gate_sql
from clean_corpus.pipeline.quality.gate import CHECKS, UNMENDABLE
from clean_corpus.pipeline.quality.gate_sql import Limits

PREFIX = "gate."
MOVABLE = (*gate_sql.SETTINGS, "cer_max")
AFTER_SCORES = (Reason.UPSAMPLED, Reason.CER, Reason.SPEAKER_CHANGE, Reason.SPEAKER_OUTLIER)
"""Reasons of clips that the gate's thresholds have a say over, besides those named by a score."""

Moved = Mapping[str, float | None]
"""Setting with its section, for example gate.snr_db_min -> another value; None: the check is off."""

_JUDGED = ", ".join(f"'{name}'" for name in (*(score for score, _ in CHECKS), *AFTER_SCORES))
GATE_REASON = "CASE WHEN gate_verdict IS NULL THEN reason ELSE gate_reason END"
JUDGED = f"(coalesce(gate_verdict, verdict) = 'kept' OR coalesce({GATE_REASON} IN ({_JUDGED}), false))"
"""Whether scores decided over a row of the ledger, a copy of which a person may have overruled."""
_OF_RECORDING = ", ".join(f"'{name}'" for name in (*(score for score, _ in UNMENDABLE), Reason.UPSAMPLED))
UNSCORED = f"(coalesce({GATE_REASON} IN ({_OF_RECORDING}), false) AND {gate_sql.UNSCORED})"
"""Whether a row was rejected for what no network mends, before one heard it."""
_UNHEARD = f"({GATE_REASON} = '{Reason.CER}' AND cer IS NULL)"
HELD = f"coalesce({GATE_REASON} = '{Reason.SPEAKER_OUTLIER}' OR {_UNHEARD}, false)"
"""Whether a row stays rejected whatever the thresholds: by its speaker's other clips, or a text that nobody heard."""


def moved_gate(gate: GateConfig, moved: Moved) -> GateConfig:
    """Return the gate with some settings moved.

    Raises: ConfigError for a setting that decides nothing by a score, or a value that it cannot have.
    """
    names = {name.removeprefix(PREFIX): value for name, value in moved.items()}
    for name in moved:
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) not in MOVABLE:
            raise ConfigError(f"moved: {name} is no threshold; there are {', '.join(f'gate.{one}' for one in MOVABLE)}")
    try:
        return GateConfig.model_validate(gate.model_dump() | names)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(f"moved: gate.{name}: {first['msg']}, found {names.get(name)!r}") from None


def literal(gate: GateConfig) -> Limits:
    """Return the limits of a gate as numbers within SQL: they are numbers of validated settings, never text."""
    found = {name: getattr(gate, name) for name in MOVABLE}
    return {name: None if value is None else repr(float(value)) for name, value in found.items()}


def bound(gate: GateConfig) -> tuple[Limits, dict[str, float]]:
    """Return the limits of a gate as names of parameters, and the parameters."""
    on = {name: value for name in MOVABLE if (value := getattr(gate, name)) is not None}
    limits = {name: f"$limit_{name}" if name in on else None for name in MOVABLE}
    return limits, {f"limit_{name}": float(value) for name, value in on.items()}


def passes(limits: Limits, config: PipelineConfig, *, held: str = "held", harmed: str | None = None) -> str:
    """Return the expression of whether a judged clip would be kept by some limits."""
    chosen = gate_sql.chosen(limits, prefer=config.gate.prefer, harmed=harmed)
    fails = [held, f"({gate_sql.reason(limits, f'({chosen})')}) IS NOT NULL"]
    if config.speakers.embed and (least := config.speakers.constancy_min) is not None:
        fails.append(f"coalesce(voice_constancy < {float(least)!r}, false)")
    if (cer := limits["cer_max"]) is not None:
        fails.append(f"coalesce(cer > {cer}, false)")
    return f"NOT ({' OR '.join(fails)})"


def changes(gate: GateConfig, config: PipelineConfig) -> tuple[str, dict[str, float]]:
    """Return the expression of whether a clip's verdict differs under another gate, over the table of clips.

    First it asks whether any check comes out otherwise, which few clips answer with yes; of those the gate decides. A
    clip that was not scored, and would be, counts as one that differs.
    """
    limits, parameters = bound(gate)
    now = literal(config.gate)
    asked = {name: now[name] if getattr(gate, name) == getattr(config.gate, name) else limits[name] for name in MOVABLE}
    guard = [name for name in gate_sql.SETTINGS if name.startswith("guard_")]
    same = all(asked[name] == now[name] for name in guard)
    anew = passes(asked, config, harmed="harmed" if same else None)
    is_asked = gate_sql.differences(asked, now)
    if asked["cer_max"] != now["cer_max"]:
        is_asked = f"{is_asked} OR cer IS NOT NULL"
    cases = f"WHEN unscored THEN NOT ({gate_sql.unmendable(asked)}) WHEN {is_asked} THEN ({anew}) <> now_keeps"
    condition = f"(judged AND NOT by_hand AND CASE {cases} ELSE false END)"
    return condition, {name: value for name, value in parameters.items() if f"${name}" in condition}


def as_settings(gate: GateConfig, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run with another gate, as run.yaml holds them: those that differ from the defaults."""
    defaults = PipelineConfig.model_validate({"audio": run["config"]["audio"]}).model_dump(mode="json")
    plain = GateConfig().model_dump()
    found: dict[str, Any] = {"enhancer": run["enhancer"]}
    for name, section in (run["config"] | {"gate": gate.model_dump(mode="json")}).items():
        if not isinstance(section, dict):
            continue
        base = defaults.get(name, {})
        changed = {key: value for key, value in section.items() if key not in base or base[key] != value}
        if name == "gate":
            changed = {key: value for key, value in changed.items() if value != plain[key]}
        if changed:
            found[name] = changed
    return found
