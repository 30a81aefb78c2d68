"""Objects of buckets are found and read whole, over HTTP and through a network that fails."""

import os

import boto3
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.storage import s3_client, s3_objects
from clean_corpus.pipeline.storage.s3_objects import S3Object, find_objects
from tests.support.faults import FAULTS, FaultyProxy

KEYS = ("a/1.tar", "a/2.tar", "a/deep/3.tar", "a/notes.txt", "b.tar", "ab/4.tar")


@pytest.fixture(scope="module")
def bucket(s3_server):
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="voices")
    for key in KEYS:
        client.put_object(Bucket="voices", Key=key, Body=key.encode() * 1000)
    return client


def keys(place):
    return [o.key for o in find_objects(place, ".tar")]


def test_a_place_is_a_folder_an_object_or_a_pattern(bucket):
    assert keys("s3://voices") == keys("s3://voices/") == ["b.tar"]
    assert keys("s3://voices/a") == keys("s3://voices/a/") == ["a/1.tar", "a/2.tar"]
    assert keys("s3://voices/a/2.tar") == ["a/2.tar"]
    assert keys("s3://voices/a*/[14].tar") == ["a/1.tar", "ab/4.tar"]
    assert keys("s3://voices/a/*") == ["a/1.tar", "a/2.tar", "a/deep/3.tar"]
    assert keys("s3://voices/absent") == keys("s3://voices/a/9.tar") == []


def test_a_place_whose_name_looks_like_a_pattern_is_that_place(bucket):
    for key in ("take [1]/5.tar", "take 1/6.tar", "take [2].tar"):
        bucket.put_object(Bucket="voices", Key=key, Body=b"x")
    assert keys("s3://voices/take [1]") == keys("s3://voices/take [1]/") == ["take [1]/5.tar"]
    assert keys("s3://voices/take [2].tar") == ["take [2].tar"]
    assert keys("s3://voices/take [1]/*") == ["take 1/6.tar"], "a pattern of the shell's, as for local files"
    assert keys("s3://voices/take [[]1]/*") == ["take [1]/5.tar"]


def test_a_listing_of_many_pages_is_whole(bucket, monkeypatch):
    monkeypatch.setattr(s3_objects, "PAGE", 2)
    assert keys("s3://voices/a*/*.tar") == ["a/1.tar", "a/2.tar", "a/deep/3.tar", "ab/4.tar"]


def test_an_object_is_read_whole(bucket):
    with S3Object("voices", "a/1.tar").opened() as file:
        assert file.read() == b"a/1.tar" * 1000
    assert S3Object("voices", "a/1.tar").name == "1.tar"


def test_what_is_wrong_is_said_with_the_place(bucket):
    with pytest.raises(ConfigError, match="no bucket; write s3://BUCKET"):
        find_objects("s3:///a", ".tar")
    with pytest.raises(DataError, match="s3://absent/a/: NoSuchBucket"):
        find_objects("s3://absent/a", ".tar")
    with pytest.raises(DataError, match=r"s3://voices/gone\.tar: 404"), S3Object("voices", "gone.tar").opened():
        pass


@pytest.fixture
def anew():
    """Clients made within the test see its environment; the next test's see theirs."""
    s3_client._client_of.cache_clear()
    yield
    s3_client._client_of.cache_clear()


def test_objects_come_whole_through_a_failing_network(bucket, monkeypatch, anew):
    """Two requests in five fail; listings and bodies of several parts are as without."""
    body = bytes(range(256)) * 80_000  # 20 MB, three parts
    bucket.put_object(Bucket="voices", Key="large.bin", Body=body)
    wanted = {key: find_objects(f"s3://voices/{key}", "") for key in ("a", "a/*", "ab")}
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0.4, stall_s=0.05, seed=3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        s3_client._client_of.cache_clear()
        for _ in range(4):
            with S3Object("voices", "large.bin").opened() as file:
                assert file.read() == body
            assert {key: find_objects(f"s3://voices/{key}", "") for key in wanted} == wanted
    assert min(proxy.seen[fault] for fault in FAULTS) >= 1, proxy.seen


@pytest.mark.parametrize("fault", ["refuse", "reset"])
def test_a_deletion_without_an_answer_is_told_from_one_that_was_refused(bucket, monkeypatch, fault):
    monkeypatch.setattr(s3_client, "RETRY_S", 0.5)
    bucket.put_object(Bucket="voices", Key="doomed", Body=b"x")
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=1, faults=[fault]) as proxy:
        config = S3Config(endpoint_url=proxy.url)
        if fault == "refuse":
            with pytest.raises(DataError, match="SlowDown"):
                s3_objects.try_delete("voices", "doomed", config)
            assert proxy.seen[fault] > 1, "what was not done may be tried again"
        else:
            assert not s3_objects.try_delete("voices", "doomed", config) and proxy.seen == {fault: 1}
    assert s3_objects.try_delete("voices", "doomed", S3Config())
    assert s3_objects.head("voices", "doomed", S3Config()) is None
