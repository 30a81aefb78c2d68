"""Our store on Ceph's gateway, which checks signatures and keeps its objects over a restart; moto does neither."""

import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.shards import read_shard, write_shard
from clean_corpus.pipeline.storage import open_store, s3_client
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.slow

SCRIPT = REPOSITORY / "infra" / "s3" / "radosgw.sh"
KEY, SECRET = "suite", "a-secret-that-no-message-shows"
SAMPLES = [{"__key__": f"clip{i}", "flac": bytes([i]) * 400_000} for i in range(50)]  # 20 MB: several parts


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    if not shutil.which("radosgw"):
        pytest.skip("no radosgw; Debian: apt-get install radosgw ceph-mon ceph-osd ceph-mgr")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 7480)) == 0:
            pytest.skip("something listens at port 7480 already, perhaps a gateway")
    folder = tmp_path_factory.mktemp("ceph") / "store"
    about = {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:7480",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in about.items():
            patch.setenv(name, value)
        s3_client._client_of.cache_clear()
        subprocess.run([SCRIPT, "up", folder], check=True, capture_output=True, timeout=120)
        boto3.client("s3").create_bucket(Bucket="corpus")
        yield folder
        subprocess.run([SCRIPT, "down", folder], check=True, capture_output=True, timeout=60)
    s3_client._client_of.cache_clear()


def test_a_store_keeps_what_it_has_over_a_restart(gateway):
    store = open_store(S3Folder("corpus", "out"), S3Config())
    shard = write_shard(store, "shards/a.tar", SAMPLES)
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: store.create("versions/0001/manifest.json", b"%d" % i), range(8)))
    assert won.count(True) == 1
    with store.only_run():
        assert len(list(store.keys("work/lease"))) == 1
        with pytest.raises(ConfigError, match="another run"), open_store(store.root, S3Config()).only_run():
            pass
    subprocess.run([SCRIPT, "down", gateway], check=True, capture_output=True, timeout=60)
    away = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(store.write, "small", b"written while the service was away")
        time.sleep(3)
        subprocess.run([SCRIPT, "up", gateway], check=True, capture_output=True, timeout=120)
        waiting.result(timeout=120)
    assert time.monotonic() - away > 3
    assert store.read("small") == b"written while the service was away"
    assert [s["__key__"] for s in read_shard(store, shard)] == [s["__key__"] for s in SAMPLES]
    assert versions.numbers(store) == [1]


def test_a_wrong_secret_is_refused_and_never_shown(gateway, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    s3_client._client_of.cache_clear()
    s3_client._amid.clear()  # as in a process that has had no answer yet
    with pytest.raises(ConfigError, match=r"SignatureDoesNotMatch|AccessDenied|403") as refused:
        open_store(S3Folder("corpus", "out"), S3Config()).prepare()
    s3_client._client_of.cache_clear()
    assert not any(word in str(refused.value) for word in (SECRET, "wrong-secret", KEY))
