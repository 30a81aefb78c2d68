"""One run at a time holds a location; the lease of a dead run ends, and one of those that wait takes over."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import lease, open_store
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.faults import FaultyProxy


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


def test_numbers_grow_over_releases_and_takeovers(bucket, quick):
    store = open_store(S3Folder(bucket, "numbers"), S3Config())
    numbers = []
    for _ in range(2):
        with store.only_run():
            numbers.append(store.fence())
        assert not leases(store) and store.fence() is None
    store.write("work/lease/00000007.json", json.dumps({"host": "other", "machine": "m", "pid": 1}).encode())
    with store.only_run():
        numbers.append(store.fence())
    assert numbers == [1, 2, 8] and list(store.keys("fence")) == ["fence/00000008.json"]


def test_a_number_survives_an_emptied_work_folder(bucket):
    store = open_store(S3Folder(bucket, "emptied"), S3Config())
    with store.only_run():
        store.delete("work/lease/00000001.json")
    with store.only_run():
        assert store.fence() == 2


def test_a_run_that_was_taken_over_is_told(bucket, quick):
    store = open_store(S3Folder(bucket, "taken"), S3Config())
    with store.only_run():
        store.write("fence/00000005.json", b"{}")
        with pytest.raises(lease.LeaseLost, match="another has taken the place over"):
            store.fence()


@pytest.mark.parametrize("fault", ["refuse", "stall"])
def test_a_heartbeat_gives_up_before_its_lease_ends(bucket, monkeypatch, fault):
    monkeypatch.setattr(lease, "LEASE_S", 6.0)
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0, faults=[fault], stall_s=20) as proxy:
        held = lease.Lease(open_store(S3Folder(bucket, f"beat-{fault}"), S3Config(endpoint_url=proxy.url)))
        proxy.share, start_s = 1.0, time.monotonic()
        with pytest.raises(StorageError):
            held.renew()
        assert time.monotonic() - start_s < lease.LEASE_S and proxy.seen[fault] > 1
