"""A bucket's store works through a failing network, and names a service that is gone or refuses."""

import os

import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import open_store, s3, s3_client
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.faults import FAULTS, FaultyProxy


def test_a_store_works_through_a_failing_network(bucket):
    """Two requests in five fail: objects of one and of many parts are whole, and one creator of each wins."""
    parts = os.urandom(20_000_000)
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0.4, stall_s=0.05, seed=5) as proxy:
        config = S3Config(endpoint_url=proxy.url)
        store = open_store(S3Folder(bucket, "faulty"), config)
        for i in range(6):
            store.write(f"small/{i}", b"%d" % i * 1000)
        store.write("large", parts)
        s3._cache = s3._Cache()
        assert [store.read(f"small/{i}") for i in range(6)] == [b"%d" % i * 1000 for i in range(6)]
        with store.opened("large") as file:
            assert file.read() == parts
        assert all(store.create(f"new/{i}", b"mine%d" % i) for i in range(12))
        assert not any(store.create(f"new/{i}", b"theirs%d" % i) for i in range(12))
        assert list(store.keys("small")) == [f"small/{i}" for i in range(6)]
    assert min(proxy.seen[fault] for fault in FAULTS) >= 1, proxy.seen


def test_a_service_that_is_gone_or_refuses_is_named(bucket, monkeypatch):
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    monkeypatch.setattr(s3_client, "_amid", set())  # as in a process that has had no answer yet
    endpoint = S3Config(endpoint_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9"):
        open_store(S3Folder("never-asked"), endpoint).prepare()
    open_store(S3Folder(bucket), S3Config()).prepare()
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9.*finished work is kept"):  # a run prepares more than once
        open_store(S3Folder(bucket), endpoint).prepare()
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        open_store(S3Folder("no-such-bucket-here"), S3Config()).prepare()
    with pytest.raises(StorageError, match=r"NoSuchBucket.*run the same command again"):
        open_store(S3Folder("no-such-bucket-here"), S3Config()).write("a", b"")


def test_copies_of_many_small_objects_hold_few_descriptors(bucket, monkeypatch):
    monkeypatch.setattr(s3, "CACHE_FILES", 3)
    monkeypatch.setattr(s3, "_cache", s3._Cache())
    store, before = open_store(S3Folder(bucket, "many"), S3Config()), len(os.listdir("/proc/self/fd"))
    for i in range(12):
        store.write(f"{i:02}", b"%d" % i)
    assert len(os.listdir("/proc/self/fd")) <= before + 3 + 2  # and of connections
    assert [store.read(key) for key in store.keys("")] == [b"%d" % i for i in range(12)]


def test_the_empty_object_that_a_console_makes_of_a_folder_is_none_of_it(bucket):
    store = open_store(S3Folder(bucket, "console"), S3Config())
    for key in ("fence/commits/", "fence/commits/a.json"):
        store.write(key, b"")
    assert list(store.keys("fence/commits")) == ["fence/commits/a.json"] and list(store.keys("fence")) == []
