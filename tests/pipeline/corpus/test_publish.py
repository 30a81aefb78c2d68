"""Stage `publish`: kept clips at their final level in the version that was chosen, rejected ones as they came in."""

import json

import numpy as np
import pytest

from clean_corpus.pipeline.audio import decode, loudness
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.records import Ending, RawShard
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus import publish as stage
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.publish import publish_shard, variant_shard
from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.storage.local import LocalStore

RATE = 16000
CONFIG = PipelineConfig(audio={"sample_rate": RATE})
BEFORE, AFTER = {"snr_db": 12.5}, {"snr_db": 42.5}
DECISIONS = {
    "enhanced": Decision(Verdict.KEPT, chosen="enhanced"),
    "guarded": Decision(Verdict.KEPT, chosen="raw", chosen_why="damage: dnsmos_sig 3.5 -> 2.9, allowed -0.5"),
    "low": Decision(Verdict.REJECTED, "snr_db", "snr_db 3 < 10", "enhanced"),
    "lost": Decision(Verdict.FAILED, "enhance", "enhance: no memory"),
}


def tone(freq_hz: float, peak: float) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * freq_hz * np.arange(RATE) / RATE)).astype(np.float32)


RAW = {"enhanced": tone(300, 0.02), "guarded": tone(400, 0.4), "low": tone(500, 0.3), "lost": tone(600, 0.1)}
ENHANCED = {"enhanced": tone(1300, 0.01), "guarded": tone(1400, 0.2), "low": tone(1500, 0.3)}


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


@pytest.fixture
def cleaned(store):
    """A raw shard, its enhanced one, and how each clip ends."""

    def write(key, audio):
        samples = ({"__key__": name, "flac": shards.encode_clip(x, RATE, bits=24)} for name, x in audio.items())
        return shards.write_shard(store, key, samples)

    clips = [Clip(name, f"{name}.wav", "0" * 64, metadata=Metadata(text=f"text of {name}")) for name in RAW]
    endings = [Ending(clip, DECISIONS[clip.clip_id], BEFORE, AFTER) for clip in clips]
    return RawShard(write("work/raw/g.tar", RAW), clips, [""] * 4), write("work/enhanced/g.tar", ENHANCED), endings


def published(store, shard) -> dict[str, tuple[np.ndarray, dict]]:
    return {
        sample["__key__"]: (decode.decode(sample["flac"])[0], json.loads(sample["json"]))
        for sample in shards.read_shard(store, shard)
    }


def test_kept_clips_have_their_final_level_and_rejected_ones_their_own(store, cleaned):
    result = publish_shard(store, *cleaned, CONFIG).result
    kept, rejected = published(store, result.kept), published(store, result.rejected)
    assert (kept.keys(), rejected.keys()) == ({"enhanced", "guarded"}, {"low"})
    for name, source in (("enhanced", ENHANCED), ("guarded", RAW)):
        x, facts = kept[name]
        gain = 10 ** (result.gain_db[name] / 20)
        np.testing.assert_allclose(x, gain * source[name], atol=1.5 / 32768)  # 16 bits, and the gain of three digits
        assert loudness.loudness_lufs(x, RATE) == pytest.approx(-23.0, abs=0.05)
        assert facts["gain_db"] == result.gain_db[name] and facts["text"] == f"text of {name}"
        assert facts["chosen"] == facts["version"] == DECISIONS[name].chosen
        both = (BEFORE, facts.get("scores_enhanced")) if name == "guarded" else (facts.get("scores_raw"), AFTER)
        assert both == (BEFORE, AFTER) and facts["scores"] == both[name == "enhanced"]
        assert facts["dnsmos_windows"] == "whole"
    x, facts = rejected["low"]
    np.testing.assert_allclose(x, RAW["low"], atol=1 / 32768)
    assert facts["detail"] == "snr_db 3 < 10" and "gain_db" not in facts
    # the scores of what one hears there, and beside them, named, of the version that was rejected
    assert (facts["chosen"], facts["version"], facts["scores"]) == ("enhanced", "raw", BEFORE)
    assert facts["scores_enhanced"] == AFTER


def test_a_peak_that_the_level_would_push_over_the_limit_holds_the_gain_back(store, cleaned):
    raw, enhanced, endings = cleaned
    result = publish_shard(
        store, raw, enhanced, endings, PipelineConfig(audio={"sample_rate": RATE, "loudness_lufs": 0.0})
    ).result
    for x, _ in published(store, result.kept).values():
        assert loudness.true_peak_db(x, RATE) == pytest.approx(-1.0, abs=0.01)


def test_nothing_kept_gives_no_tar(store, cleaned):
    raw, enhanced, endings = cleaned
    result = publish_shard(store, raw, enhanced, endings[3:], CONFIG).result
    assert (result.kept, result.rejected, result.gain_db) == (None, None, {})


@pytest.mark.parametrize(("variant", "source"), [("raw", RAW), ("enhanced", ENHANCED)])
def test_a_variant_holds_every_kept_clip_in_one_version(store, cleaned, variant, source):
    result = variant_shard(store, *cleaned, variant, CONFIG).result
    found = published(store, result.kept)
    assert found.keys() == {"enhanced", "guarded"} and result.kept.key.startswith(f"variants/{variant}/")
    for name, (x, facts) in found.items():
        assert facts["version"] == variant and facts["scores"] == (BEFORE if variant == "raw" else AFTER)
        assert np.corrcoef(x, source[name])[0, 1] > 0.9999  # the same sound at another level
    without = variant_shard(store, cleaned[0], None, cleaned[2], variant, CONFIG).result
    assert (without.kept is None) == (variant == "enhanced")


def test_a_name_depends_on_what_it_declares_alone(store, cleaned, monkeypatch):
    raw, enhanced, endings = cleaned
    parts = []
    monkeypatch.setattr(stage, "content_name", lambda *some: parts.append(some) or "name")
    publish_shard(store, raw, enhanced, endings, CONFIG)
    assert parts == [
        (
            "publish",
            stage.VERSION,
            raw.shard.sha256,
            enhanced.sha256,
            [stage._facts(ending, stage._version(ending), CONFIG) for ending in endings],
            {"sample_rate": RATE, "loudness_lufs": -23.0, "true_peak_db": -1.0},
            decode.CODEC_VERSION,
            library_versions("pyloudnorm", "soxr", "webdataset"),
        )
    ]
