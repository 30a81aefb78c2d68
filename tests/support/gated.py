"""Ledgers whose every row the gate decided: scores at random, some of them lacking, thresholds of any kind."""

import random
from dataclasses import replace

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.core.types import Clip, Decision, Verdict, VoiceFacts
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality.gate import decide, decide_text, recorded, unmendable, upsampled
from clean_corpus.pipeline.quality.scorer import SCORES
from clean_corpus.pipeline.quality.speakers import one_speaker

RANGES = {
    "dnsmos_sig": (2.9, 4.0), "dnsmos_bak": (3.4, 4.3), "dnsmos_ovrl": (2.5, 3.6), "dnsmos_p808": (2.5, 4.5),
    "snr_db": (8, 40), "clipping_ratio": (0, 0.0022), "bandwidth_hz": (5400, 8000), "speech_ratio": (0.13, 1),
    "loudness_lufs": (-34, -20),
}  # fmt: skip
SPEAKERS = {"embed": True, "constancy_min": 0.65}
BASE = {"audio": {"sample_rate": 16000}, "speakers": SPEAKERS}


def config(**gate) -> PipelineConfig:
    return PipelineConfig.model_validate(BASE | {"gate": {"cer_max": 0.4, "bandwidth_hz_min": 5500} | gate})


def row(draw: random.Random, n: int, gate: GateConfig, *, enhanced: bool = True) -> Row:
    """A clip with scores at random, as the stages of a run decide over it."""
    before, after = _scores(draw), _scores(draw) if enhanced and draw.random() < 0.9 else None
    if after:  # enhanced for the better, mostly
        after = {k: v if v is None or before.get(k) is None else (v + before[k]) / 2 for k, v in after.items()}
        after |= {k: before[k] + draw.uniform(0, 0.6) for k in ("dnsmos_ovrl", "dnsmos_bak") if before[k] is not None}
    clip = Clip(f"clip-{n:05}", f"a/{n:05}.wav", "0" * 64, duration_s=draw.uniform(1, 9), sample_rate_in_hz=16000)
    if draw.random() < 0.8:
        clip = _recorded(clip, draw)
    own = recorded(clip)
    if after and draw.random() < 0.9:
        own |= {"residual_snr_db": draw.uniform(10, 40), "voice_likeness": draw.uniform(0.3, 1)}
    voice = VoiceFacts(own.get("voice_likeness"), draw.choice([None, draw.uniform(0.6, 1)]))
    cer = draw.choice([draw.uniform(0, 0.5), 0.1])
    found = Row(clip, Decision(Verdict.KEPT), before, after or {}, own.get("residual_snr_db"), voice=voice)
    found = decided(_heard(found, cer), gate)
    if unmendable(found.clip, gate) and draw.random() < 0.8:  # without score.all
        return replace(found, before={}, after={}, residual_snr_db=None, voice=VoiceFacts())
    return found


def _heard(found: Row, cer: float) -> Row:
    return replace(found, clip=replace(found.clip, cer=cer))


def _recorded(clip: Clip, draw: random.Random) -> Clip:
    return replace(clip, clipping_ratio=draw.uniform(0, 0.0022), bandwidth_hz=draw.uniform(5400, 8000))


def decided(found: Row, gate: GateConfig) -> Row:
    """The row as a run with this gate would have it: the stages that decide by scores, one after the other."""
    if problem := unmendable(found.clip, gate):
        return replace(found, decision=Decision(Verdict.REJECTED, *problem))
    own = recorded(found.clip)
    if found.residual_snr_db is not None:
        own |= {"residual_snr_db": found.residual_snr_db}
    if found.voice.voice_likeness is not None:
        own |= {"voice_likeness": found.voice.voice_likeness}
    decision = upsampled(decide(found.before, found.after or None, gate, own), found.clip, gate)
    decision = one_speaker(decision, found.voice.voice_constancy, SPEAKERS["constancy_min"])
    return replace(found, decision=decide_text(decision, found.clip.cer, gate))


def _scores(draw: random.Random) -> dict[str, float | None]:
    found = {name: float(f"{draw.uniform(*RANGES[name]):.6g}") for name in RANGES}
    lost = [name for name in RANGES if draw.random() < 0.01]
    return dict.fromkeys(SCORES) | found | dict.fromkeys(lost)


def scored(n: int, scores: dict[str, float], gate: GateConfig) -> Row:
    """A clip of a recording of its own with these scores in both versions."""
    digest = f"{n:064x}"
    clip = Clip(f"clip-{n:05}", f"a/{n:05}.wav", digest, duration_s=2.0, sample_rate_in_hz=16000)
    return decided(Row(clip, Decision(Verdict.KEPT), scores, dict(scores)), gate)
