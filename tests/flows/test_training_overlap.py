"""What a comparison says of an enhancer, or a base, that was trained on its recordings."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.training_overlap import heard_by, warnings
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import Digests, RecordingList
from tests.support.tones import tone

SOURCES = {"u0": "a" * 64, "u1": "b" * 64}
NOISE = Digests("c" * 12, "d" * 12)


@pytest.fixture
def weights(tmp_path):
    """Weights by name only, whose list holds the recording of one utterance and the noise of another."""
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"weights")
    path.with_suffix(".json").write_text(json.dumps({"method": "crn"}))
    recording_list.write(path, RecordingList({"speech": {Digests(file=SOURCES["u0"][:12])}, "noise": {NOISE}}))
    return path


def write_set(root, folder, **about):
    """Write a set of two utterances; return its folder."""
    samples = [
        {
            "__key__": key,
            "flac": encode.encode_flac(tone(200 + 100 * i), 16000, bits=16),
            "json": canonical_json({"source_sha256": sha256} | about),
        }
        for i, (key, sha256) in enumerate(SOURCES.items())
    ]
    write_shard(LocalStore(root), f"{folder}/0.tar", samples)
    return root / folder


def write_version(root, weights, sha256=None):
    """Make a folder the output of a run with an enhancer."""
    run = {"enhancer": str(weights), "weights_sha256": sha256 or checkpoints.weights_sha256(str(weights))}
    manifest = Manifest(version=1, ledger=Shard("ledger", "", 0, 0), shards=[], rejected=[], run=run)
    LocalStore(root).write("versions/0001/manifest.json", canonical_json(manifest.model_dump(mode="json")))


def said(folders, **options):
    return warnings({name: [str(folder)] for name, folder in folders.items()}, folders, **options)


def test_the_enhancer_of_a_run_that_heard_a_recording_is_named(tmp_path, weights):
    out = tmp_path / "out"
    folders = {
        "raw": write_set(out, "variants/raw", version="raw"),
        "enhanced": write_set(out, "variants/enhanced", version="enhanced"),
        "gated": write_set(out, "shards", version="enhanced"),
    }
    assert said(folders) == []  # nothing is known of what made them
    write_version(out, weights)
    first, second = said(folders)
    assert first.startswith("Set “enhanced”") and second.startswith("Set “gated”")
    assert first == (
        f"Set “enhanced”: its enhancer {weights} was trained on speech of 1 of 2 utterances, u0 for one; other "
        "recordings may gain less."
    )


def test_noise_that_was_mixed_in_is_found_by_what_any_set_says_of_it(tmp_path, weights):
    folders = {
        "clean": write_set(tmp_path, "clean", mixed_from=[NOISE.text]),
        "other": write_set(tmp_path, "other", enhancer=str(weights)),
    }
    (sentence,) = said(folders)
    assert "was trained on noise and speech of 2 of 2 utterances" in sentence


def test_a_run_counts_the_recordings_that_its_enhancer_was_trained_on(tmp_path, weights):
    rows = [{"source_sha256": sha256} for sha256 in (SOURCES["u0"], SOURCES["u0"], SOURCES["u1"], None)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "ledger.parquet")
    assert heard_by(str(weights), tmp_path / "ledger.parquet", DEFAULT_S3) == 1
    recording_list.beside(weights).unlink()
    assert heard_by(str(weights), tmp_path / "ledger.parquet", DEFAULT_S3) == 0


def test_what_is_not_known_is_said(tmp_path, weights):
    write_version(tmp_path / "out", weights, sha256="0" * 64)  # the weights of that name are others now
    folder = write_set(tmp_path / "out", "shards", version="enhanced")
    assert "has no list of the recordings" in said({"gated": folder})[0]
    bare = write_set(tmp_path, "bare", version="raw")
    recording_list.write(weights, RecordingList({"speech": set()}, ("old",)))
    assert said({"raw": bare}, start_from=str(weights)) == [
        f"All sets: the base of their vocoders, {weights}, began with old, which lists no recordings."
    ]
