"""Stage `ingest`: raw shards of a group, and a name that depends on what it declares and on nothing else."""

from dataclasses import asdict

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.audio import decode, voice_activity
from clean_corpus.pipeline.core.config import PipelineConfig, ShardConfig
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.corpus import ingest, shards
from clean_corpus.pipeline.corpus.clips import cut_recording
from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.quality.fingerprint import fingerprint, from_text
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import signals

RATE = 16000


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", signals.speech(2, seed=i), RATE)
    (folder / "text.wav").write_text("no audio")
    return folder


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "out")


def run(store, source, **sections):
    return ingest.ingest_group(
        store, source, find_all(source, exclude=None), PipelineConfig(audio={"sample_rate": RATE}, **sections)
    )


def test_clips_are_packed_by_number_and_by_seconds(store, source):
    by_number = run(store, source, shards=ShardConfig(max_clips=2)).result
    assert [raw.shard.samples for raw in by_number.shards] == [2, 1]
    by_seconds = run(store, source, shards=ShardConfig(max_s=3.9)).result
    assert [raw.shard.samples for raw in by_seconds.shards] == [1, 1, 1]
    assert [clip.source for clip in by_number.rest] == ["text.wav"]
    assert [clip.source for raw in by_number.shards for clip in raw.clips] == ["0.wav", "1.wav", "2.wav"]


def test_a_shard_holds_the_samples_and_fingerprints_of_its_clips(store, source):
    (raw,) = run(store, source).result.shards
    found = dict(shards.read_clips(store, raw.shard, [clip.clip_id for clip in raw.clips]))
    for recording, clip, text in zip(find_all(source, exclude=None), raw.clips, raw.fingerprints, strict=False):
        ((_, samples),) = cut_recording(source, recording, PipelineConfig(audio={"sample_rate": RATE}))
        np.testing.assert_allclose(found[clip.clip_id], samples, atol=2**-23)  # 24 bits
        np.testing.assert_array_equal(from_text(text), fingerprint(samples, sample_rate=RATE))


def test_the_same_recordings_are_ingested_once(store, source):
    first = run(store, source)
    (source / "0.wav").touch()
    again = run(store, source, gate={"snr_db_min": 20.0}, enhance={"batch_s": 9.0})
    assert (first.reused, again.reused, again.name) == (False, True, first.name)
    other = run(store, source, segment={"min_s": 0.5})
    assert not other.reused and other.name != first.name


def test_a_name_depends_on_what_it_declares_alone(store, source, monkeypatch):
    """Libraries, settings, version, recordings: no source code, no path, no time."""
    parts = []
    monkeypatch.setattr(ingest, "content_name", lambda *some: parts.append(some) or "name")
    run(store, source)
    config = PipelineConfig(audio={"sample_rate": RATE})
    group = [(r.source, r.key, r.sha256, r.error, asdict(Metadata()), []) for r in find_all(source, exclude=None)]
    assert parts[0] == (
        "ingest",
        group,
        ingest.VERSION,
        None,
        {"sample_rate": 16000, "channel": "mix", "allow_truncated": False, "max_hours": 24.0, "max_decoded_gb": 100.0},
        config.segment.model_dump(),
        config.shards.model_dump(),
        decode.DECODERS_VERSION,
        voice_activity.VAD_VERSION,
        library_versions("onnxruntime", "pyloudnorm", "soxr", "webdataset"),
    )


def test_another_version_or_library_is_another_name(store, source, monkeypatch):
    names = [run(store, source).name]
    monkeypatch.setattr(ingest, "VERSION", ingest.VERSION + 1)
    names.append(run(store, source).name)
    monkeypatch.setattr(decode, "DECODERS_VERSION", "soundfile 99")
    names.append(run(store, source).name)
    monkeypatch.setattr(ingest, "library_versions", lambda *names: ["soxr 99"])
    names.append(run(store, source).name)
    assert len(set(names)) == 4
