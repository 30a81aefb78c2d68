"""What each stage makes of one fixed recording stays as it is, or its VERSION is raised.

Results of earlier runs are found by a name that holds this VERSION and no hash of the code, so that a comment redoes
nothing: these tests are what keeps a changed algorithm from finding old results.
"""

import io
import tarfile

import numpy as np
import pytest

from clean_corpus.pipeline.core.config import PipelineConfig, SegmentConfig
from clean_corpus.pipeline.core.records import Ending, Ingested, RawShard
from clean_corpus.pipeline.core.types import Decision, Verdict
from clean_corpus.pipeline.corpus import embed, enhance, ingest, publish, score, shards
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.quality.fingerprint import from_text
from clean_corpus.pipeline.quality.scorer import Scorer
from clean_corpus.pipeline.quality.voice import VoiceEncoder
from clean_corpus.pipeline.quality.voice import from_text as voice_from_text
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import golden

CONFIG = PipelineConfig(audio={"sample_rate": 16000}, segment=SegmentConfig(max_s=4.0))
SAMPLES = 1e-5  # soxr sums in another order on another processor, 1e-6 of full scale; a change that one hears is 1e-3
SIXTEEN_BITS = 1.01 / 32768  # one step: where a sum lies at the edge between two


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("golden") / "out")


@pytest.fixture(scope="module")
def ingested(store) -> Ingested:
    source = store.root.parent / "in"
    source.mkdir()
    golden.write_recording(source / "two-sentences.wav")
    (source / "letter.wav").write_text("no audio")
    return ingest.ingest_group(store, source, find_all(source, exclude=None), CONFIG).result


@pytest.fixture(scope="module")
def raw(ingested) -> RawShard:
    (raw,) = ingested.shards
    return raw


def audio_of(store, shard) -> dict[str, np.ndarray]:
    return dict(shards.read_clips(store, shard, [sample["__key__"] for sample in shards.read_shard(store, shard)]))


def test_ingest(store, ingested, raw):
    audio = audio_of(store, raw.shard)
    exact = {
        "clips": [(c.clip_id, round(c.offset_s, 3), round(c.duration_s, 3), c.speech_s, c.reject) for c in raw.clips],
        "rest": [(c.clip_id, c.error, c.reject) for c in ingested.rest],
        "samples": [len(x) for x in audio.values()],
        "bits": shards.read_shard(store, raw.shard).__next__()["flac"][20:22].hex(),  # rate and width, STREAMINFO
    }
    assert len(raw.clips) == 2 and len(ingested.rest) == 1
    numbers = {f"samples {i}": (golden.sketch(x), SAMPLES) for i, x in enumerate(audio.values())}
    for i, text in enumerate(raw.fingerprints):
        bits = np.unpackbits(from_text(text).view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
        numbers[f"fingerprint {i}"] = (
            bits.sum(0),
            3,
        )  # set bits a band; rounding decides few
    golden.check("ingest", ingest.VERSION, "pipeline/corpus/ingest.py", exact, numbers)


def test_enhance(store, raw):
    """A network that halves: exact in floating point on every machine, so the samples are hashed themselves."""
    outcome = enhance.enhance_shard(store, raw, lambda: lambda noisy, lengths: noisy / 2, "halved", CONFIG)
    audio = audio_of(store, outcome.result.shard)
    for clip_id, x in audio_of(store, raw.shard).items():
        assert np.abs(audio[clip_id] - x / 2).max() <= 0.5 / 2**23, "rounding to 24 bits alone"
    exact = {"failed": outcome.result.failed, "clips": {clip_id: len(x) for clip_id, x in audio.items()}}
    numbers = {f"samples {i}": (golden.sketch(x), SAMPLES) for i, x in enumerate(audio.values())}
    golden.check("enhance", enhance.VERSION, "pipeline/corpus/enhance.py", exact, numbers)


def test_score(store, raw):
    ruler = Scorer(speech_threshold=0.5, dnsmos_windows="whole")
    scores = score.score_shard(store, raw.shard, raw.clips, lambda: ruler, CONFIG, {}).result
    assert not scores.failed
    exact = {clip_id: [name for name, value in row.items() if value is None] for clip_id, row in scores.scores.items()}
    values = {name: [row[name] or 0.0 for row in scores.scores.values()] for name in next(iter(scores.scores.values()))}
    # opinions by onnxruntime agree within 1e-4 between processors, bandwidth moves by whole bins of 31 Hz
    tolerances = dict.fromkeys(values, 2e-3) | {"bandwidth_hz": 32.0, "clipping_ratio": 1e-9, "speech_ratio": 1e-5}
    golden.check(
        "score", score.VERSION, "pipeline/corpus/score.py", exact,
        {name: (row, tolerances[name]) for name, row in values.items()},
    )  # fmt: skip


def test_embed(store, raw):
    pytest.importorskip("resemblyzer", reason="the extra `speakers` is not installed")
    encoder = VoiceEncoder(speech_threshold=0.5)
    result = embed.embed_shard(store, raw, None, lambda: encoder, CONFIG).result
    exact = {"clips": [*result.raw.embeddings], "constant": [*result.raw.constancy]}
    voices = {clip_id: voice_from_text(text)[::8] for clip_id, text in result.raw.embeddings.items()}
    numbers = {f"voice {i}": (x, 5e-3) for i, x in enumerate(voices.values())}  # 16 bits; torch sums in another order
    golden.check("embed", embed.VERSION, "pipeline/corpus/embed.py", exact, numbers)
    assert not result.enhanced.embeddings
    assert embed.likeness(result, raw.clips[0].clip_id) is None  # there is no enhanced version to be like


def test_publish(store, raw):
    kept, rejected = (
        Ending(raw.clips[0], Decision(Verdict.KEPT, chosen="raw"), {"snr_db": 12.5}, {}),
        Ending(raw.clips[1], Decision(Verdict.REJECTED, "snr_db", "snr_db 3 < 10", "raw"), {"snr_db": 3.0}, {}),
    )
    result = publish.publish_shard(store, raw, None, [kept, rejected], CONFIG).result
    members, numbers = {}, {"gain_db": (list(result.gain_db.values()), 2e-3)}  # 1e-3 is what it is rounded to
    for shard in (result.kept, result.rejected):
        with store.opened(shard.key) as file, tarfile.open(fileobj=io.BytesIO(file.read())) as tar:
            members[shard.key.split("/")[0]] = [(member.name, member.mtime) for member in tar]
        for clip_id, x in audio_of(store, shard).items():
            numbers[clip_id[-5:]] = (golden.sketch(x), SIXTEEN_BITS)
    golden.check("publish", publish.VERSION, "pipeline/corpus/publish.py", members, numbers)


def test_a_change_is_refused_until_the_version_is_raised(monkeypatch, tmp_path):
    monkeypatch.setattr(golden, "FILE", tmp_path / "golden.json")
    monkeypatch.setenv(golden.WRITE, "1")
    golden.check("stage", 1, "stage.py", {"clips": 2}, {"samples": ([0.5, -0.25], 1e-5)})
    for exact, value in (({"clips": 3}, 0.5), ({"clips": 2}, 0.5001)):
        with pytest.raises(AssertionError, match=r"raise VERSION in stage\.py and write the new hash"):
            golden.check("stage", 1, "stage.py", exact, {"samples": ([value, -0.25], 1e-5)})
    golden.check("stage", 1, "stage.py", {"clips": 2}, {"samples": ([0.500001, -0.25], 1e-5)})
    golden.check("stage", 2, "stage.py", {"clips": 3}, {"samples": ([0.5, -0.25], 1e-5)})
    monkeypatch.delenv(golden.WRITE)
    golden.check("stage", 2, "stage.py", {"clips": 3}, {"samples": ([0.5, -0.25], 1e-5)})
    with pytest.raises(AssertionError, match="unchanged, recorded for VERSION 2, it is 3"):
        golden.check("stage", 3, "stage.py", {"clips": 3}, {"samples": ([0.5, -0.25], 1e-5)})
