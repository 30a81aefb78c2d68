"""The gate: each reason by its two numbers, the damage guard, thresholds that cannot be reached."""

from dataclasses import replace

import pytest

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.rates import RATES_HZ
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.core.types import Clip, Verdict
from clean_corpus.pipeline.quality.gate import (
    decide,
    recorded,
    refuse_unreachable,
    settled,
    to_score,
    upsampled,
    without_unmendable,
)
from clean_corpus.pipeline.quality.scorer import CEILINGS

GATE = GateConfig(
    dnsmos_ovrl_min=2.5, dnsmos_sig_min=3.0, dnsmos_bak_min=3.0, dnsmos_p808_min=None, snr_db_min=15,
    bandwidth_hz_min=3400,
    clipping_ratio_max=0.01, speech_ratio_min=0.3, guard_sig_drop=0.1, guard_clipping_rise=0.001,
    guard_level_drop_db=6, raw_snr_db_min=25, raw_dnsmos_bak_min=3.8, raw_bandwidth_hz_min=7000,
    raw_residual_snr_db_min=None,
)  # fmt: skip
ENHANCED = GATE.model_copy(update={"prefer": "enhanced"})
GOOD = {
    "dnsmos_sig": 3.5, "dnsmos_bak": 4.0, "dnsmos_ovrl": 3.1, "dnsmos_p808": 3.6, "snr_db": 30.0, "clipping_ratio": 0.0,
    "bandwidth_hz": 7900.0, "speech_ratio": 0.8, "loudness_lufs": -25.0,
}  # fmt: skip


def test_a_good_clip_is_kept_enhanced():
    decision = decide(GOOD | {"dnsmos_ovrl": 2.0}, GOOD, GATE)
    assert (decision.verdict, decision.reason, decision.chosen, decision.chosen_why) == (
        Verdict.KEPT, None, "enhanced", "raw_falls_short: dnsmos_ovrl 2 < 2.5",
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
        ({"dnsmos_sig": 3.3}, "dnsmos_sig 3.5 -> 3.3, allowed -0.1"),
        ({"clipping_ratio": 0.005}, "clipping_ratio 0 -> 0.005, allowed +0.001"),
        ({"loudness_lufs": -32.0}, "loudness_lufs -25 -> -32, allowed -6.004"),
    ],
)
def test_the_guard_keeps_raw_when_enhancement_damages(change, words):
    decision = decide(GOOD, GOOD | change, ENHANCED)
    assert (decision.verdict, decision.chosen, decision.chosen_why) == (Verdict.KEPT, "raw", f"damage: {words}")


SILENCE = dict.fromkeys(GOOD) | {"clipping_ratio": 0.0, "speech_ratio": 0.0}


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (SILENCE, "dnsmos_sig 3.5"),  # nothing is left: neither level nor opinion
        (GOOD | {"loudness_lufs": None}, "loudness_lufs -25"),  # so little that no block is over -70 LUFS
        (GOOD | {"snr_db": None, "speech_ratio": 0.0}, "snr_db 30"),  # sound is left, and no speech in it
        ({}, "dnsmos_sig 3.5"),  # not scored at all
    ],
)
@pytest.mark.parametrize("prefer", ["raw_if_good", "enhanced"])
def test_what_cannot_be_measured_any_more_is_damage(after, lost, prefer):
    decision = decide(GOOD, after, GATE.model_copy(update={"prefer": prefer}))
    assert (decision.verdict, decision.chosen) == (Verdict.KEPT, "raw")
    assert decision.chosen_why == f"damage: {lost} -> not measurable"


def test_removing_noise_that_is_louder_than_the_speech_is_no_damage():
    """At -5 dB the mix is 6.2 dB above its speech; the same fall of a clean clip is speech that was lost."""
    quieter = GOOD | {"loudness_lufs": -33.0}
    assert decide(GOOD | {"snr_db": -5.0}, quieter, ENHANCED).chosen == "enhanced"
    assert decide(GOOD, quieter, ENHANCED).chosen_why == "damage: loudness_lufs -25 -> -33, allowed -6.004"


def test_what_could_not_be_measured_before_is_no_damage():
    decision = decide(GOOD | {"dnsmos_sig": None, "pesq_wb": None}, GOOD, GATE)
    assert (decision.chosen, decision.chosen_why) == (
        "enhanced", "raw_falls_short: dnsmos_sig could not be measured, wanted >= 3",
    )  # fmt: skip


def test_a_raw_clip_that_is_good_is_published_as_it_is():
    decision = decide(GOOD, GOOD | {"snr_db": 55.0, "dnsmos_ovrl": 3.2}, GATE)
    assert (decision.verdict, decision.chosen) == (Verdict.KEPT, "raw")
    assert decision.chosen_why == "raw_is_good: bandwidth_hz 7900 >= 7000, snr_db 30 >= 25, dnsmos_bak 4 >= 3.8"
    assert decide(GOOD, GOOD, ENHANCED).chosen_why == "enhanced_preferred: gate.prefer is enhanced"


@pytest.mark.parametrize(
    ("score", "value", "words"),
    [
        ("snr_db", 24.9, "snr_db 24.9 < 25"),  # each stricter threshold
        ("dnsmos_bak", 3.7, "dnsmos_bak 3.7 < 3.8"),
        ("bandwidth_hz", 6900.0, "bandwidth_hz 6900 < 7000"),
        ("dnsmos_ovrl", 2.4, "dnsmos_ovrl 2.4 < 2.5"),  # each of all
        ("speech_ratio", 0.2, "speech_ratio 0.2 < 0.3"),
        ("snr_db", None, "snr_db could not be measured, wanted >= 25"),
    ],
)
def test_a_raw_clip_that_is_not_good_enough_is_enhanced(score, value, words):
    decision = decide(GOOD | {score: value}, GOOD, GATE)
    assert (decision.chosen, decision.chosen_why) == ("enhanced", f"raw_falls_short: {words}")


def test_a_raw_clip_that_enhancing_changes_much_somewhere_is_enhanced():
    """A sneeze amid speech: neither the SNR nor DNSMOS hears it."""
    gate = GATE.model_copy(update={"raw_residual_snr_db_min": 26.0})
    sneeze = decide(GOOD, GOOD, gate, {"residual_snr_db": 5.5})
    assert (sneeze.chosen, sneeze.chosen_why) == ("enhanced", "raw_falls_short: residual_snr_db 5.5 < 26")
    assert decide(GOOD, GOOD, gate, {"residual_snr_db": 30.0}).chosen_why.endswith(", residual_snr_db 30 >= 26")
    assert "residual_snr_db could not be measured" in decide(GOOD, GOOD, gate).chosen_why


def test_the_stricter_of_two_thresholds_holds_for_raw_and_null_switches_one_off():
    strict = GATE.model_copy(update={"snr_db_min": 40.0})
    assert "snr_db 30 < 40" in decide(GOOD, GOOD | {"snr_db": 45.0}, strict).chosen_why
    off = GATE.model_copy(update={"raw_snr_db_min": None})
    assert decide(GOOD | {"snr_db": 16.0}, GOOD, off).chosen == "raw"


def test_clipping_and_bandwidth_are_those_of_the_recording_where_they_were_measured():
    """At 16 kHz, 48 kHz speech that was clipped at half scale reads nearly 0."""
    clip = Clip("a", "a.wav", None, clipping_ratio=0.05, bandwidth_hz=20000.0)
    decision = decide(GOOD, GOOD, GATE, recorded(clip))
    assert (decision.reason, decision.detail) == ("clipping_ratio", "clipping_ratio 0.05 > 0.01")
    assert decision.chosen == "enhanced" and "clipping_ratio 0.05 > 0.01" in decision.chosen_why
    assert recorded(Clip("a", "a.wav", None, bandwidth_hz=3400.0)) == {"bandwidth_hz": 3400.0}
    assert decide(GOOD, GOOD, GATE, recorded(Clip("a", "a.wav", None))).verdict is Verdict.KEPT


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
    with pytest.raises(ConfigError, match=r"gate\.raw_dnsmos_bak_min 4\.9 cannot be reached"):
        refuse_unreachable(GATE.model_copy(update={"raw_dnsmos_bak_min": 4.9}), CEILINGS)
    refuse_unreachable(GateConfig().at_rate(16000), CEILINGS)


def test_ends_that_need_no_scores():
    assert settled(Clip("a", "a.wav", None)) is None
    failed = settled(Clip("a", "a.wav", None, error="not audio: Format not recognised"))
    assert (failed.verdict, failed.reason) == (Verdict.FAILED, "not_audio")
    rejected = settled(Clip("a", "a.wav", None, reject=("too_short", "duration_s 0.2 < 1")))
    assert (rejected.verdict, rejected.detail) == (Verdict.REJECTED, "duration_s 0.2 < 1")


@pytest.mark.parametrize("score_all", [False, True])
def test_a_fault_that_no_network_mends_decides_alone_and_the_reason_is_the_same_with_scores(score_all):
    config = PipelineConfig(score={"all": score_all}, audio={"sample_rate": 16000})
    clips = [
        Clip("fine", "f.wav", None, clipping_ratio=0.0, bandwidth_hz=7900.0),
        Clip("clipped", "c.wav", None, clipping_ratio=0.01, bandwidth_hz=3000.0),
        Clip("upsampled", "u.wav", None, sample_rate_in_hz=8000, bandwidth_hz=3900.0),
        Clip("unknown", "n.wav", None),  # shorter than a frame at its own rate: the scores tell
        Clip("copy", "d.wav", None, clipping_ratio=0.01, reject=(Reason.NEAR_DUPLICATE, "of fine: bit error 0.1")),
    ]
    raw = without_unmendable(RawShard(Shard("k", "0" * 64, 1, 5), clips, [""] * 5), config)
    ends = {
        "clipped": ("clipping_ratio", "clipping_ratio 0.01 > 0.002"),
        "upsampled": ("upsampled", "bandwidth_hz 3900 < 5000: its file has 8000 Hz"),
        "copy": ("near_duplicate", "of fine: bit error 0.1"),
    }
    if score_all:
        assert to_score(raw, config) == clips and raw.clips == clips
        bad = GOOD | {"speech_ratio": 0.01}
        for clip in clips[1:3]:
            found = upsampled(decide(bad, bad, config.gate, recorded(clip)), clip, config.gate)
            assert (found.reason, found.detail) == ends[clip.clip_id], "what the recording decides comes first"
        return
    assert {clip.clip_id: clip.reject for clip in raw.clips if clip.reject} == ends
    assert [clip.clip_id for clip in to_score(raw, config)] == ["fine", "unknown"]
    assert [clip.clip_id for clip in raw.wanted] == ["fine", "unknown"]
    off = PipelineConfig(gate={"clipping_ratio_max": None, "bandwidth_hz_min": None})
    assert to_score(replace(raw, clips=clips), off) == clips


# ---- sample rates, and no enhancer


@pytest.mark.parametrize("rate", RATES_HZ)
def test_what_each_rate_asks_of_a_recording(rate):
    """Telephony belongs in no corpus, a recording of two thirds of the rate does, and one of half a high rate not."""
    gate = GateConfig().at_rate(rate)
    assert 4000 < gate.bandwidth_hz_min < gate.raw_bandwidth_hz_min < rate / 2
    assert gate.bandwidth_hz_min < 0.96 * rate / 3, "the band of two thirds of the rate, less a resampler's edge"
    assert (gate.bandwidth_hz_min > 8000) == (rate >= 32000), "recordings of 16 kHz"
    set_by_hand = GateConfig(bandwidth_hz_min=None, raw_bandwidth_hz_min=1.0).at_rate(rate)
    assert (set_by_hand.bandwidth_hz_min, set_by_hand.raw_bandwidth_hz_min) == (None, 1.0)


@pytest.mark.parametrize(
    ("rate", "cutoff_hz", "reason", "why"),
    [
        (16000, None, "upsampled", "bandwidth_hz 7500 < 13000: its file has 16000 Hz"),
        (48000, 7800.0, "upsampled", "bandwidth_hz 7500 < 13000: its spectrum ends at 7800 Hz, its file holds 24000"),
        (48000, None, "bandwidth_hz", "bandwidth_hz 7500 < 13000"),  # a soft, dark voice
        (48000, 15000.0, "bandwidth_hz", "bandwidth_hz 7500 < 13000"),  # ... coded as MP3
    ],
)
def test_a_band_that_is_narrow_since_the_rate_was_lower_has_a_name_of_its_own(rate, cutoff_hz, reason, why):
    gate = GATE.model_copy(update={"bandwidth_hz_min": 13000.0})
    clip = Clip("a", "a.wav", None, sample_rate_in_hz=rate, bandwidth_hz=7500.0, cutoff_hz=cutoff_hz)
    decision = upsampled(decide(GOOD, GOOD, gate, recorded(clip)), clip, gate)
    assert (decision.reason, decision.detail) == (reason, why)
    kept = decide(GOOD, GOOD, GATE, recorded(clip))
    assert kept.verdict == "kept" and upsampled(kept, clip, GATE) == kept


def test_without_an_enhancer_a_clip_is_judged_as_it_came():
    kept = decide(GOOD | {"snr_db": 20.0}, None, GATE)
    assert (kept.verdict, kept.chosen, kept.chosen_why) == ("kept", "raw", "not_enhanced: enhancer is none")
    assert decide(GOOD | {"snr_db": 1.0}, None, GATE).reason == "snr_db"


def test_another_voice_is_damage_where_noise_does_not_explain_it():
    for likeness, snr_db, chosen in (
        (0.7, 30.0, "raw"),
        (0.8, 30.0, "enhanced"),
        (0.7, 15.0, "enhanced"),
        (0.5, 15.0, "raw"),
    ):
        before = GOOD | {"snr_db": snr_db}
        decision = decide(before, GOOD, ENHANCED, {"voice_likeness": likeness})
        assert decision.chosen == chosen
    assert decision.chosen_why == "damage: voice_likeness 0.5 < 0.55"
    assert (
        decide(GOOD, GOOD, ENHANCED.model_copy(update={"guard_likeness_min": None}), {"voice_likeness": 0.1}).chosen
        == "enhanced"
    )
