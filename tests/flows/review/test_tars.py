"""Clips out of tars by ranges, memory within its bound; and a corpus in a bucket, heard, decided over and published."""

import pytest

from clean_corpus.flows.commands import decisions as command
from clean_corpus.flows.review import tars
from clean_corpus.flows.review.tars import Tars
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import shards, versions
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.flows.review.conftest import BOB, GROUPS, LOW, page_over
from tests.support.forgettable import write_corpus

BUCKET = "heard"


class Counted(LocalStore):
    """A folder that counts what is read of it."""

    bytes_read = requests = 0

    def read_range(self, key, start, length):
        data = super().read_range(key, start, length)
        self.bytes_read, self.requests = self.bytes_read + len(data), self.requests + 1
        return data


def test_a_clip_is_read_without_the_rest_of_its_tar(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "BLOCK", 4096)
    store = Counted(tmp_path)
    clips = {f"clip-{n:02}": bytes([n]) * (1000 + 997 * n) for n in range(20)}
    shard = shards.write_shard(store, "a.tar", ({"__key__": k, "flac": v, "json": b"{}"} for k, v in clips.items()))
    read = Tars(store)
    assert read.clip("a.tar", "clip-03") == clips["clip-03"] and store.bytes_read < shard.size / 5
    for clip_id in ("clip-19", "clip-00", "clip-10", "clip-10"):
        assert read.clip("a.tar", clip_id) == clips[clip_id]
    assert store.bytes_read < 1.6 * shard.size, "each header is followed once"
    requests = store.requests
    assert read.clip("a.tar", "clip-10") == clips["clip-10"] and store.requests == requests
    assert read.clip("a.tar", "clip-99") is None and read.clip("absent.tar", "clip-01") is None
    store.write("text.tar", b"no tar " * 1000)
    store.write("cut.tar", store.read("a.tar")[:3000])
    assert read.clip("text.tar", "clip-01") is None and read.clip("cut.tar", "clip-01") is None


def test_clips_in_memory_stay_within_their_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "CACHED", 2500)
    store = Counted(tmp_path)
    shards.write_shard(store, "a.tar", [{"__key__": f"c{n}", "flac": bytes([n]) * 1000} for n in range(4)])
    read = Tars(store)
    for n in (0, 1, 2, 3, 0, 2):
        assert read.clip("a.tar", f"c{n}") == bytes([n]) * 1000
        assert sum(map(len, read._clips.values())) <= 2500


@pytest.fixture
def store(client):
    store = open_store(S3Folder(BUCKET, "corpus"), S3Config())
    store.prepare()
    write_corpus(store, *GROUPS, extra=False, reviews=NO_REVIEWS)
    return store


def test_a_corpus_in_a_bucket_is_heard_decided_over_and_published(store, monkeypatch):
    monkeypatch.setattr(command, "write_report", lambda store, manifest: None)
    page = page_over(store)
    assert page.get("api/corpus").json()["output"] == "s3://heard/corpus"
    clip = page.get(f"api/clips/{BOB.clip_ids()[2]}").json()
    assert clip["versions"]["raw"]["available"] and clip["versions"]["enhanced"]["available"]
    assert page.get(f"api/clips/{clip['clip_id']}/audio/enhanced").content.startswith(b"RIFF")
    decided = page.post("api/decisions", json={"clip_ids": LOW.clip_ids(), "what": "keep"}).json()
    assert decided["pending"]["clips"] == 1 and page.post("api/publish", json={}).json() == {
        "version": 2, "changed": 1, "left": [],
    }  # fmt: skip
    kept = page.get("api/clips", params={"filter": '{"is": {"verdict": ["kept"]}}'}).json()
    assert kept["total"] == 6 and versions.latest(store).version == 2
