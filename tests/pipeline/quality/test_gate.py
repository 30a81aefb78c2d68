"""The gate: each reason by its two numbers, the damage guard, thresholds that cannot be reached."""

import pytest

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Clip, Verdict
from clean_corpus.pipeline.quality.gate import decide, refuse_unreachable, settled
from clean_corpus.pipeline.quality.scorer import CEILINGS

GATE = GateConfig(
    dnsmos_ovrl_min=2.5, dnsmos_sig_min=3.0, dnsmos_bak_min=3.0, dnsmos_p808_min=None, snr_db_min=15,
    bandwidth_hz_min=3400,
    clipping_ratio_max=0.01, speech_ratio_min=0.3, guard_sig_drop=0.1, guard_clipping_rise=0.001,
    guard_level_drop_db=6,
)  # fmt: skip
GOOD = {
    "dnsmos_sig": 3.5, "dnsmos_bak": 4.0, "dnsmos_ovrl": 3.1, "dnsmos_p808": 3.6, "snr_db": 30.0, "clipping_ratio": 0.0,
    "bandwidth_hz": 7900.0, "speech_ratio": 0.8, "loudness_lufs": -25.0,
}  # fmt: skip


def test_a_good_clip_is_kept_enhanced():
    decision = decide(GOOD | {"dnsmos_ovrl": 2.0}, GOOD, GATE)
    assert (decision.verdict, decision.reason, decision.chosen, decision.chosen_why) == (
        Verdict.KEPT, None, "enhanced", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("score", "value", "detail"),
    [
        ("dnsmos_ovrl", 2.4, "dnsmos_ovrl 2.4 < 2.5"),
        ("dnsmos_sig", 2.9, "dnsmos_sig 2.9 < 3"),
        ("dnsmos_bak", 2.9, "dnsmos_bak 2.9 < 3"),
        ("snr_db", 14.9, "snr_db 14.9 < 15"),
        ("speech_ratio", 0.2, "speech_ratio 0.2 < 0.3"),
        ("clipping_ratio", 0.02, "clipping_ratio 0.02 > 0.01"),
        ("bandwidth_hz", 3000.0, "bandwidth_hz 3000 < 3400"),
    ],
)
def test_each_threshold_rejects_with_its_two_numbers(score, value, detail):
    bad = GOOD | {score: value}
    decision = decide(bad, bad, GATE)
    assert (decision.verdict, decision.reason, decision.detail) == (Verdict.REJECTED, score, detail)


def test_exactly_at_the_threshold_is_kept():
    edge = GOOD | {"dnsmos_ovrl": 2.5, "clipping_ratio": 0.01}
    assert decide(edge, edge, GATE).verdict is Verdict.KEPT


def test_what_cannot_be_measured_is_not_kept():
    unknown = GOOD | {"dnsmos_ovrl": None}
    assert decide(unknown, unknown, GATE).detail == "dnsmos_ovrl could not be measured, wanted >= 2.5"


def test_a_threshold_of_none_is_not_checked():
    low = GOOD | {"dnsmos_ovrl": 1.0}
    assert decide(low, low, GATE.model_copy(update={"dnsmos_ovrl_min": None})).verdict is Verdict.KEPT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dnsmos_sig": 3.3}, "lowered dnsmos_sig: 3.5 -> 3.3"),
        ({"clipping_ratio": 0.005}, "raised clipping_ratio: 0 -> 0.005"),
        ({"loudness_lufs": -32.0}, "lowered loudness_lufs: -25 -> -32"),
    ],
)
def test_the_guard_keeps_raw_when_enhancement_damages(change, words):
    decision = decide(GOOD, GOOD | change, GATE)
    assert decision.verdict is Verdict.KEPT and decision.chosen == "raw" and words in decision.chosen_why


def test_a_raw_clip_kept_by_the_guard_is_held_against_the_thresholds_itself():
    raw = GOOD | {"snr_db": 5.0}
    decision = decide(raw, GOOD | {"dnsmos_sig": 3.0}, GATE)
    assert (decision.chosen, decision.reason) == ("raw", "snr_db")


def test_clipping_and_bandwidth_are_the_recordings_own():
    """Enhancement smears flat tops and fills empty bands; neither mends the recording."""
    assert decide(GOOD | {"clipping_ratio": 0.05}, GOOD, GATE).reason == "clipping_ratio"
    assert decide(GOOD | {"bandwidth_hz": 3000.0}, GOOD, GATE).reason == "bandwidth_hz"


@pytest.mark.parametrize(("score", "limit"), [("dnsmos_ovrl", 4.0), ("dnsmos_sig", 4.5), ("dnsmos_bak", 4.9)])
def test_a_threshold_beyond_the_ruler_is_refused(score, limit):
    with pytest.raises(ConfigError, match=rf"gate\.{score}_min {limit} cannot be reached"):
        refuse_unreachable(GATE.model_copy(update={f"{score}_min": limit}), CEILINGS)
    refuse_unreachable(GateConfig(), CEILINGS)


def test_ends_that_need_no_scores():
    assert settled(Clip("a", "a.wav", None)) is None
    failed = settled(Clip("a", "a.wav", None, error="not audio: Format not recognised"))
    assert (failed.verdict, failed.reason) == (Verdict.FAILED, "not_audio")
    rejected = settled(Clip("a", "a.wav", None, reject=("too_short", "duration_s 0.2 < 1")))
    assert (rejected.verdict, rejected.detail) == (Verdict.REJECTED, "duration_s 0.2 < 1")
