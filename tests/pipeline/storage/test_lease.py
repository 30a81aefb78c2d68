"""One run at a time holds a location; the lease of a dead run ends, and one of those that wait takes over."""

import json
import os
import subprocess
import sys
import threading

import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import lease, open_store


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr(lease, "LEASE_S", 2.5)  # a server's clock tells whole seconds


def leases(store):
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
    assert len(leases(store)) == 1
    with store.only_run():
        (now,) = leases(store)
        assert now["pid"] == os.getpid()
    assert leases(store) == []


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
