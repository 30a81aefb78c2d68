"""The functions of a worker: each runs its stage on the store of the output, and models are loaded once."""

from types import SimpleNamespace

import pytest

from clean_corpus.enhancers.serving.high_band import extrapolated_bands
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.flows import worker_functions
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core.records import Ending, Enhanced, Outcome, RawShard, Scored, Shard
from clean_corpus.pipeline.core.types import Clip
from clean_corpus.pipeline.corpus import enhance, publish, score
from clean_corpus.pipeline.quality import batched_scorer, scorer
from clean_corpus.pipeline.quality.gate import failed

CLIPS = [Clip("a", "a.wav", None), Clip("b", "b.wav", None)]
RAW = RawShard(Shard("work/raw/g-000.tar", "0" * 64, 9, 2), CLIPS, ["", ""])
ENHANCED = Shard("work/enhanced/e.tar", "1" * 64, 9, 1)


@pytest.fixture
def config(tmp_path):
    return RunConfig(input=tmp_path / "in", output=tmp_path / "out", enhancer="default-causal")


def outcome(result):
    return Outcome("name", result, 0.5, reused=False)


def test_cleaning_scores_enhances_and_scores_what_the_network_could_read(config, monkeypatch):
    scored, enhanced = [], []

    def score_shard(store, shard, clips, ruler, config, references):
        scored.append((shard.key, [clip.clip_id for clip in clips]))
        return outcome(Scored({}, {}))

    def enhance_shard(store, raw, load, identity, config, *, on_gpu):
        enhanced.append((store.root, raw.shard.key, identity))
        return outcome(Enhanced(ENHANCED, {"b": "not finite"}))

    monkeypatch.setattr(score, "score_shard", score_shard)
    monkeypatch.setattr(enhance, "enhance_shard", enhance_shard)
    cleaned = worker_functions.clean(config, RAW)
    assert scored == [("work/raw/g-000.tar", ["a", "b"]), ("work/enhanced/e.tar", ["a"])]
    ((root, key, identity),) = enhanced
    assert root == config.output and key == RAW.shard.key and identity
    assert cleaned.enhanced.result.failed == {"b": "not finite"}
    scored.clear()
    cleaned = worker_functions.clean(config.model_copy(update={"enhancer": "none"}), RAW)
    assert scored == [("work/raw/g-000.tar", ["a", "b"])] and (cleaned.enhanced, cleaned.after) == (None, None)
    assert len(enhanced) == 1, "without an enhancer no network is named or loaded"


def test_a_worker_with_a_gpu_scores_there_and_one_without_on_its_core(config, monkeypatch):
    made = []
    monkeypatch.setattr(batched_scorer, "BatchedScorer", lambda **settings: made.append(settings))
    monkeypatch.setattr(scorer, "Scorer", lambda **settings: made.append(settings))
    for has_gpu in (True, False):
        monkeypatch.setattr("torch.cuda.is_available", lambda has_gpu=has_gpu: has_gpu)
        worker_functions.scorer.__wrapped__(0.5, config.score)
    settings = {"speech_threshold": 0.5, "dnsmos_windows": "whole", "naturalness": False}
    assert made == [{**settings, "device": "cuda"}, settings]


def test_publishing_gets_the_endings_and_the_enhanced_shard(config, monkeypatch):
    calls = []
    for name in ("publish_shard", "variant_shard"):
        monkeypatch.setattr(publish, name, lambda *arguments, name=name: calls.append((name, arguments)) or name)
    endings = [Ending(clip, failed("x"), {}, {}) for clip in CLIPS]
    assert worker_functions.publish(config, RAW, ENHANCED, endings) == "publish_shard"
    assert worker_functions.variant(config, RAW, ENHANCED, endings, "raw") == "variant_shard"
    (_, (store, *published)), (_, (_, *varied)) = calls
    assert store.root == config.output
    assert published == [RAW, ENHANCED, endings, config] and varied == [RAW, ENHANCED, endings, "raw", config]


def test_models_are_loaded_once_in_a_process(monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "clean_corpus.enhancers.serving.enhancer.load_enhancer",
        lambda name, device: loaded.append(name) or SimpleNamespace(sample_rate=16000),
    )
    worker_functions.network.cache_clear()
    worker_functions.upper_band.cache_clear()
    monkeypatch.setattr(UpperBand, "load", lambda name, device: loaded.append(name) or UpperBand)
    try:
        first, second = worker_functions.enhancer("x", "u", 16000), worker_functions.enhancer("x", None, 48000)
        assert first is second.network and loaded == ["x"] and second.high_band is extrapolated_bands
        assert worker_functions.enhancer("y", None, 16000) is not first
        above = [worker_functions.enhancer("x", "u", rate).high_band for rate in (8000, 24000, 48000)]
        assert above == [extrapolated_bands, UpperBand, UpperBand] and loaded == ["x", "y", "u"]
    finally:
        worker_functions.network.cache_clear()
        worker_functions.upper_band.cache_clear()
