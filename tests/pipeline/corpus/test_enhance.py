"""The stage `enhance`: nothing but the enhancer changes the audio, and only the clip at fault fails."""

from functools import partial

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import EnhanceConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Clip
from clean_corpus.pipeline.corpus import enhance as stage
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.enhance import batches, enhance_clips, enhance_named, enhance_shard
from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.quality import device as devices
from clean_corpus.pipeline.storage.local import LocalStore

RATE = 16000
CONFIG = PipelineConfig(audio={"sample_rate": RATE})
RNG = np.random.default_rng(0)


def halve(noisy, lengths):
    return noisy / 2


def test_every_clip_comes_back_in_its_place_at_its_length():
    clips = [RNG.standard_normal(n).astype(np.float32) for n in (1, 900, 16000, 0, 40000, 16000)]
    for clip, result in zip(
        clips, enhance_clips(clips, halve, EnhanceConfig(batch_s=2), sample_rate=RATE), strict=True
    ):
        np.testing.assert_array_equal(result, clip / 2)


def test_batches_hold_like_lengths_and_at_most_their_budget():
    lengths = list(RNG.integers(1, 1000, 200))
    found = list(batches(lengths, 3000))
    assert sorted(i for batch in found for i in batch) == list(range(200))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 3000 for batch in found)
    padding = sum(max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in found)
    assert padding < 0.05 * sum(lengths)


def test_a_gpu_gets_larger_batches_from_page_locked_memory_unless_the_settings_say_otherwise(monkeypatch):
    seen, stage_rows = [], devices.staged

    def staged(rows, *, pinned):
        seen.append((len(rows), pinned))
        return stage_rows(rows, pinned=False)  # there may be no GPU to lock pages for

    monkeypatch.setattr(devices, "staged", staged)
    clips = [np.ones(RATE, np.float32)] * 31
    enhance_clips(clips, halve, EnhanceConfig(), sample_rate=RATE, on_gpu=True)
    enhance_clips(clips[:5], halve, EnhanceConfig(), sample_rate=RATE)
    enhance_clips(clips[:2], halve, EnhanceConfig(batch_s=1.0), sample_rate=RATE, on_gpu=True)
    assert seen == [(30, True), (1, True), *[(1, False)] * 5, (1, True), (1, True)]


def test_a_gpu_without_memory_for_a_batch_gets_clips_alone_and_is_no_clips_fault():
    def small(noisy, lengths, at_most=1):
        if len(noisy) > at_most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return noisy / 2

    clips = {name: np.ones(RATE, np.float32) for name in "ab"}
    enhanced, failed = enhance_named(clips, small, EnhanceConfig(), RATE)
    assert list(enhanced) == ["a", "b"] and not failed
    with pytest.raises(torch.OutOfMemoryError):
        enhance_named(clips, partial(small, at_most=0), EnhanceConfig(), RATE)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(lambda x, n: x[:, 1:], "lengths must be kept"), (lambda x, n: x * torch.nan, "NaN or infinite")],
)
def test_an_enhancer_that_misbehaves_is_named(wrong, words):
    with pytest.raises(DataError, match=words):
        enhance_clips([np.ones(100, np.float32)], wrong, EnhanceConfig(), sample_rate=RATE)


# ---- the stage


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def raw_shard(store, clips: dict[str, np.ndarray], **rejected) -> RawShard:
    """A shard of 24-bit clips, some of them rejected already."""
    samples = ({"__key__": name, "flac": shards.encode_clip(x, RATE, bits=24)} for name, x in clips.items())
    shard = shards.write_shard(store, "work/raw/g-000.tar", samples)
    return RawShard(shard, [Clip(name, f"{name}.wav", None, reject=rejected.get(name)) for name in clips], [""])


def tone(freq_hz: float, peak: float = 0.5) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * freq_hz * np.arange(RATE) / RATE)).astype(np.float32)


def test_clips_that_are_rejected_never_reach_the_network(store):
    raw = raw_shard(store, {"a": tone(440), "b": tone(550)}, b=("too_short", "duration_s 1 < 2"))
    outcome = enhance_shard(store, raw, lambda: halve, "halve", CONFIG)
    found = dict(shards.read_clips(store, outcome.result.shard, ["a", "b"]))
    np.testing.assert_allclose(found["a"], tone(440) / 2, atol=2 / 2**23)  # two roundings to 24 bits
    assert found.keys() == {"a"} and outcome.result.failed == {}
    again = enhance_shard(store, raw, lambda: pytest.fail("no work, no network"), "halve", CONFIG)
    assert again.reused and again.result == outcome.result
    assert not enhance_shard(store, raw, lambda: halve, "another network", CONFIG).reused


def test_only_the_clip_at_fault_fails(store):
    def faulty(noisy, lengths):
        if (noisy.abs().amax(1) > 0.8).any():
            raise RuntimeError("no memory")
        return noisy / 2

    raw = raw_shard(store, {"a": tone(440), "loud": tone(550, 0.9), "c": tone(660)})
    result = enhance_shard(store, raw, lambda: faulty, "faulty", CONFIG).result
    assert result.failed == {"loud": "enhance: no memory"} and result.shard.samples == 2
    raw = raw_shard(store, {"loud": tone(550, 0.9)})
    assert enhance_shard(store, raw, lambda: faulty, "faulty", CONFIG).result.shard is None


def test_what_exceeds_full_scale_is_scaled_down(store):
    raw = raw_shard(store, {"a": tone(440)})
    result = enhance_shard(store, raw, lambda: lambda noisy, lengths: 4 * noisy, "loud", CONFIG).result
    ((_, x),) = shards.read_clips(store, result.shard, ["a"])
    np.testing.assert_allclose(x, tone(440, 1.0), atol=1e-6)


def test_a_name_depends_on_what_it_declares_alone(store, monkeypatch):
    parts = []
    raw = raw_shard(store, {"a": tone(440)})
    monkeypatch.setattr(stage, "content_name", lambda *some: parts.append(some) or "name")
    enhance_shard(store, raw, lambda: halve, "weights and version", CONFIG)
    assert parts == [
        (
            "enhance",
            stage.VERSION,
            raw.shard.sha256,
            ["a"],
            "weights and version",
            {"batch_s": None},
            decode.CODEC_VERSION,
            library_versions("onnxruntime", "torch", "webdataset"),
        )
    ]
