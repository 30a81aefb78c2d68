"""Scores that the review page shows, sorts and filters by: what each is, where its value comes from, its threshold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.quality.gate import CHECKS, STRICTER
from clean_corpus.pipeline.quality.gate_sql import PUBLISHED
from clean_corpus.pipeline.quality.scorer import SCORES

Of = Literal["raw", "enhanced", "published"]
UNITS = {"db": "dB", "hz": "Hz", "lufs": "LUFS", "ratio": "share"}
MOS = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808", "distillmos", "pesq_wb")

LABELS = {
    "dnsmos_sig": "DNSMOS SIG",
    "dnsmos_bak": "DNSMOS BAK",
    "dnsmos_ovrl": "DNSMOS OVRL",
    "dnsmos_p808": "DNSMOS P.808",
    "distillmos": "DistillMOS",
    "snr_db": "SNR",
    "clipping_ratio": "clipping",
    "bandwidth_hz": "bandwidth",
    "speech_ratio": "share of speech",
    "loudness_lufs": "loudness",
    "pesq_wb": "PESQ",
    "stoi": "STOI",
    "si_sdr_db": "SI-SDR",
}

_OTHERS: tuple[tuple[str, str, str, Of, str | None], ...] = (
    ("residual_snr_db", "residual SNR", "speech over what enhancing removed, where it removed most", "raw",
     "raw_residual_snr_db_min"),
    ("voice_likeness", "voice likeness", "of the raw and the enhanced voice, a cosine", "enhanced",
     "guard_likeness_min"),
    ("voice_constancy", "voice constancy", "likeness of the voices of the clip's parts, a cosine", "published", None),
    ("voice_match", "voice match", "likeness to the other clips of its speaker, a cosine", "published", None),
    ("cer", "CER", "character error rate of the text against what was heard", "published", "cer_max"),
    ("text_rate", "pace", "letters of the text per second of speech", "published", None),
)  # fmt: skip
"""(column, label, meaning, version, key of the gate) of what the ledger has beside the rulers' scores."""


@dataclass(frozen=True)
class Score:
    """One score as the page knows it: `sql` gives its value of a row of the ledger, `setting` names its threshold."""

    name: str
    label: str
    about: str
    unit: str
    of: Of
    sql: str
    setting: str | None
    better: Literal["high", "low"]

    def facts(self, gate: GateConfig) -> dict[str, Any]:
        """Return what the page is told of the score, with its threshold by the settings of the run."""
        facts = {name: value for name, value in asdict(self).items() if name != "sql"}
        limit = getattr(gate, self.setting.removeprefix("gate.")) if self.setting else None
        return facts | {"threshold": limit}


def known_scores() -> dict[str, Score]:
    """Return every score that a ledger can have, by name: as published, then of the raw version, then the others."""
    bounds = dict(CHECKS)
    found = [
        Score(
            name,
            LABELS.get(name, name),
            about,
            _unit(name),
            "published",
            PUBLISHED[name],
            f"gate.{name}_{bounds[name]}" if name in bounds else None,
            "low" if bounds.get(name) == "max" else "high",
        )
        for name, about in SCORES.items()
    ]
    found += [
        Score(
            f"raw_{name}",
            f"raw {LABELS[name]}",
            f"of the raw version: {SCORES[name]}",
            _unit(name),
            "raw",
            name if name == "bandwidth_hz" else f"before_{name}",  # the recording's, whatever the version
            f"gate.raw_{name}_min",
            "high",
        )
        for name in STRICTER
    ]
    for name, label, about, of, key in _OTHERS:
        better: Literal["high", "low"] = "low" if name == "cer" else "high"
        found.append(Score(name, label, about, _unit(name), of, name, f"gate.{key}" if key else None, better))
    return {score.name: score for score in found}


def _unit(name: str) -> str:
    return "MOS" if name in MOS else UNITS.get(name.rsplit("_", 1)[-1], "")


def gate_of(run: Mapping[str, Any]) -> GateConfig:
    """Return the thresholds that a run decided by."""
    return config_of(run).gate


def config_of(run: Mapping[str, Any]) -> PipelineConfig:
    """Return the settings of the corpus side that a run was made with."""
    said = run["config"]
    return PipelineConfig.model_validate({name: said[name] for name in PipelineConfig.model_fields if name in said})
