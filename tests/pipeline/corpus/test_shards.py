"""Shards: same samples, same bytes; a damaged or hostile tar is refused."""

import io
import tarfile
from dataclasses import replace

import pytest
import webdataset

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import canonical_json, sha256_file
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus.shards import read_shard, write_shard
from clean_corpus.pipeline.storage.local import LocalStore

SAMPLES = [{"__key__": f"clip-{i}", "flac": bytes([i]) * 1000, "json": canonical_json({"i": i})} for i in range(5)]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def test_same_samples_give_same_bytes(store):
    first, second = write_shard(store, "a.tar", SAMPLES), write_shard(store, "b.tar", SAMPLES)
    assert first.sha256 == second.sha256 == sha256_file(store.path("b.tar"))
    assert first.samples == 5 and first.size == store.size("a.tar")


def test_what_is_written_is_read_back_here_and_by_plain_webdataset(store):
    shard = write_shard(store, "a.tar", SAMPLES)
    assert [{k: s[k] for k in ("__key__", "flac", "json")} for s in read_shard(store, shard)] == SAMPLES
    plain = webdataset.WebDataset(str(store.path("a.tar")), shardshuffle=False)
    assert [(s["__key__"], s["flac"]) for s in plain] == [(s["__key__"], s["flac"]) for s in SAMPLES]


def test_no_samples_no_file_nor_an_empty_one_before(store, monkeypatch):
    monkeypatch.setattr(store, "writer", None)
    assert write_shard(store, "a.tar", []) is None
    assert store.size("a.tar") is None


@pytest.mark.parametrize("key", ["a.b", "a/b", "clip-0"])
def test_keys_that_webdataset_would_merge_are_refused(store, key):
    with pytest.raises(DataError, match="sample key"):
        write_shard(store, "a.tar", [SAMPLES[0], {"__key__": key, "flac": b""}])


def test_a_cut_tar_is_refused(store):
    shard = write_shard(store, "a.tar", SAMPLES)
    store.write("a.tar", store.read("a.tar")[:3000])
    with pytest.raises(DataError, match="3000 bytes, written were"):
        list(read_shard(store, shard))


def test_a_changed_byte_is_refused(store):
    shard = write_shard(store, "a.tar", SAMPLES)
    data = bytearray(store.read("a.tar"))
    data[600] ^= 1
    store.write("a.tar", bytes(data))
    with pytest.raises(DataError, match="sha256"):
        list(read_shard(store, shard))


@pytest.mark.parametrize("name", ["../evil.flac", "/evil.flac"])
def test_members_that_point_outside_are_refused(store, name):
    with tarfile.open(store.path("a.tar"), "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    shard = Shard("a.tar", sha256_file(store.path("a.tar")), store.size("a.tar"), 1)
    with pytest.raises(DataError, match="outside"):
        list(read_shard(store, shard))


def test_a_missing_shard_says_so(store):
    shard = write_shard(store, "a.tar", SAMPLES)
    with pytest.raises(DataError, match="not there, 20480 bytes"):
        list(read_shard(store, replace(shard, key="b.tar")))
