"""A store in a bucket keeps what one in a folder keeps; one run at a time holds its lease, and a dead one's ends."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder, parse_location
from clean_corpus.pipeline.corpus.shards import read_shard, write_shard
from clean_corpus.pipeline.storage import lease as leases
from clean_corpus.pipeline.storage import open_store, s3, s3_client
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.faults import FAULTS, FaultyProxy

SAMPLES = [{"__key__": f"clip{i}", "flac": bytes([i]) * 2000, "json": b"{}"} for i in range(4)]


@pytest.fixture(scope="module")
def bucket(s3_server):
    boto3.client("s3").create_bucket(Bucket="store")
    return "store"


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, bucket):
    where = tmp_path if request.param == "folder" else S3Folder(bucket, f"{tmp_path.name}/corpus")
    return open_store(where, S3Config())


def test_objects_appear_whole_or_not_at_all(store):
    with pytest.raises(KeyboardInterrupt), store.writer("shards/a.tar") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert store.size("shards/a.tar") is None
    with pytest.raises(FileNotFoundError):
        store.read("shards/a.tar")
    with pytest.raises(FileNotFoundError), store.opened("shards/a.tar"):
        pass
    store.write("shards/a.tar", b"whole")
    assert store.size("shards/a.tar") == 5 and store.read("shards/a.tar") == b"whole"
    with store.opened("shards/a.tar") as one, store.opened("shards/a.tar") as two:
        assert one.read(2) == b"wh" and two.read() == b"whole" and one.read() == b"ole"
    store.write("shards/a.tar", b"other")
    with store.opened("shards/a.tar") as file:
        assert file.read() == b"other"
    store.delete("shards/a.tar")
    store.delete("shards/a.tar")
    assert store.size("shards/a.tar") is None


def test_listings_are_of_one_folder_or_of_all_below(store):
    for key in ("s/b", "s/a", "s/deeper/c", "t/d", "st/e"):
        store.write(key, b"")
    assert list(store.keys("s")) == ["s/a", "s/b"]
    assert list(store.walk("s")) == ["s/a", "s/b", "s/deeper/c"]
    assert list(store.keys("absent")) == list(store.walk("absent")) == []


def test_of_many_that_create_one_object_one_wins(store):
    """In a bucket one after the other: moto looks and puts in two steps. test_ceph.py has them race."""
    with ThreadPoolExecutor(8 if isinstance(store, LocalStore) else 1) as threads:
        won = list(threads.map(lambda i: store.create("versions/1", b"%d" % i), range(8)))
    assert won.count(True) == 1 and store.read("versions/1") == b"%d" % won.index(True)


def test_a_folder_of_files_takes_the_place_of_the_last_one(store, bucket):
    for names in (("index.html", "audio/1.wav", "audio/2.wav"), ("index.html", "audio/3.wav")):
        with store.folder("report") as folder:
            (folder / "audio").mkdir(parents=True, exist_ok=True)
            for name in names:
                (folder / name).write_text(name)
    if not isinstance(store, LocalStore):  # in a folder the report replaces itself whole
        assert list(store.walk("report")) == ["report/audio/3.wav", "report/index.html"]
        about = boto3.client("s3").head_object(Bucket=bucket, Key=store.root.key("report/index.html"))
        assert about["ContentType"] == "text/html"


def test_a_shard_that_was_cut_or_changed_is_refused(store):
    shard = write_shard(store, "shards/a.tar", SAMPLES)
    assert [s["__key__"] for s in read_shard(store, shard)] == [s["__key__"] for s in SAMPLES]
    whole = store.read(shard.key)
    for data, words in ((whole[:-512], "bytes, written were"), (b"x" + whole[1:], "sha256")):
        store.delete(shard.key)
        open_store(store.root, S3Config()).write(shard.key, data)
        with pytest.raises(DataError, match=words):
            list(read_shard(store, shard))


def test_both_stores_write_the_same_bytes(tmp_path, bucket):
    stores = LocalStore(tmp_path), open_store(S3Folder(bucket, "same"), S3Config())
    one, two = (write_shard(store, "a.tar", SAMPLES) for store in stores)
    assert one == two and stores[0].read("a.tar") == stores[1].read("a.tar")


def test_text_is_a_place():
    assert parse_location("s3://b") == S3Folder("b") and str(parse_location("s3://b/x/y/")) == "s3://b/x/y"
    assert str(parse_location("s3://b/x") / "y") == "s3://b/x/y" and S3Folder("b").key("k") == "k"
    for wrong in ("s3://", "s3:///x", "gs://b/x"):
        with pytest.raises(ConfigError, match="s3://BUCKET"):
            parse_location(wrong)


# ---- the lease -------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr(leases, "LEASE_S", 2.5)  # a server's clock tells whole seconds


def lease(store):
    return [json.loads(store.read(key)) for key in store.keys("work/lease")]


def test_a_living_run_keeps_others_out(store, quick):
    other = open_store(store.root, S3Config())
    with store.only_run(), pytest.raises(ConfigError, match="another run"), other.only_run():
        pass
    with store.only_run():
        pass


def test_a_run_that_died_on_this_machine_is_followed_at_once(bucket):
    store = open_store(S3Folder(bucket, "died-here"), S3Config())
    code = (
        "import os, sys; from clean_corpus.pipeline.storage import open_store;"
        "from clean_corpus.pipeline.core.config import S3Config;"
        "from clean_corpus.pipeline.core.locations import parse_location;"
        "held = open_store(parse_location(sys.argv[1]), S3Config()).only_run();"
        "held.__enter__();"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store.root)]).returncode == 9
    assert len(lease(store)) == 1
    with store.only_run():
        (now,) = lease(store)
        assert now["pid"] == os.getpid()
    assert lease(store) == []


def test_a_run_that_died_elsewhere_is_followed_when_it_was_silent_for_long(bucket, quick):
    store = open_store(S3Folder(bucket, "died-there"), S3Config())
    store.write("work/lease/00000007.json", json.dumps({"host": "other", "machine": "m", "pid": 1}).encode())
    with store.only_run():
        assert list(store.keys("work/lease")) == ["work/lease/00000008.json"]


def test_of_two_that_follow_a_dead_run_one_wins(bucket, quick):
    store = open_store(S3Folder(bucket, "two"), S3Config())
    store.write("work/lease/00000001.json", json.dumps({"host": "other", "machine": "m", "pid": 1}).encode())
    ended, both = [], threading.Barrier(2)

    def follow() -> None:
        both.wait()
        try:
            with open_store(store.root, S3Config()).only_run():
                ended.append("ran")
                threading.Event().wait(6)
        except ConfigError:
            ended.append("refused")

    threads = [threading.Thread(target=follow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["ran", "refused"]


# ---- faults ----------------------------------------------------------------------------------------------------


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
    gone = open_store(S3Folder(bucket), S3Config(endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9"):
        gone.prepare()
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        open_store(S3Folder("no-such-bucket-here"), S3Config()).prepare()
    with pytest.raises(StorageError, match=r"NoSuchBucket.*run the same command again"):
        open_store(S3Folder("no-such-bucket-here"), S3Config()).write("a", b"")


def test_an_address_with_a_password_is_refused():
    with pytest.raises(ValueError, match="endpoint_url"):
        S3Config(endpoint_url="http://key:secret@127.0.0.1:9000")
