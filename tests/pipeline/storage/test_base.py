"""What every store promises, a folder's and a bucket's: whole objects, listings, one creator, the same bytes."""

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus.shards import read_shard, write_shard
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore

SAMPLES = [{"__key__": f"clip{i}", "flac": bytes([i]) * 2000, "json": b"{}"} for i in range(4)]


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
    for key in ("s/b", "s/a", "s/deeper/c", "t/d", "st/e", "s/.DS_Store"):
        store.write(key, b"")
    assert list(store.keys("s")) == ["s/a", "s/b"]
    assert list(store.sizes("s")) == [("s/a", 0), ("s/b", 0)]
    assert list(store.walk("s")) == ["s/.DS_Store", "s/a", "s/b", "s/deeper/c"]
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


def test_files_of_others_in_a_folder_stay(store):
    store.write("report/q3.pdf", b"mine")
    store.write("report/audio/old.wav", b"ours")
    with store.folder("report", lambda name: name.startswith("audio/")) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_bytes(b"new")
    assert store.read("report/q3.pdf") == b"mine"
    if not isinstance(store, LocalStore):  # in a folder the block itself sees to that
        assert list(store.walk("report")) == ["report/index.html", "report/q3.pdf"]


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


def test_a_part_of_an_object_is_read_alone(store):
    store.write("a", bytes(range(10)))
    parts = [store.read_range("a", start, length) for start, length in ((0, 3), (8, 9), (10, 4), (99, 1))]
    assert parts == [bytes(range(3)), bytes([8, 9]), b"", b""]
    with pytest.raises(FileNotFoundError):
        store.read_range("absent", 0, 1)
