"""Missing credentials and services are named; faults of the network are what their names say."""

import os
import re
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ResponseStreamingError,
)

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.storage import s3_client
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.s3_objects import find_objects
from tests.support.faults import FAULTS, FaultyProxy


@pytest.fixture(scope="module")
def bucket(s3_server):
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="requests")
    client.put_object(Bucket="requests", Key="b.tar", Body=b"b.tar" * 1000)
    return client


def test_settings_of_requests():
    assert s3_client.write_arguments(S3Config()) == {"ChecksumAlgorithm": "CRC32"}
    config = S3Config(requester_pays=True, sse_kms_key_id="key", checksum=None)
    assert s3_client.read_arguments(config) == {"RequestPayer": "requester"}
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}
    assert s3_client.write_arguments(config) == {"RequestPayer": "requester", **encryption}


@pytest.mark.parametrize(
    ("code", "status", "is_repeated"),
    [
        ("SlowDown", 503, True),
        ("InternalError", 500, True),
        ("NotImplemented", 501, False),
        ("AccessDenied", 403, False),
    ],
)
def test_only_what_may_pass_is_tried_again(code, status, is_repeated, monkeypatch):
    monkeypatch.setattr(s3_client, "RETRY_S", 1)
    calls = []

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")
        return "done"

    if is_repeated:
        assert s3_client.with_retries(fail_once) == "done"
    else:
        with pytest.raises(ClientError):
            s3_client.with_retries(fail_once)
    assert len(calls) == 1 + is_repeated


@pytest.fixture
def anew(monkeypatch):
    """Clients made within the test see its environment, and have had no answer; the next test's see theirs."""
    s3_client._client_of.cache_clear()
    monkeypatch.setattr(s3_client, "_amid", set())
    yield
    s3_client._client_of.cache_clear()


def test_missing_credentials_and_services_are_named(bucket, monkeypatch, tmp_path, anew):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9.*AWS_ENDPOINT_URL_S3 names another"):
        find_objects("s3://voices/a", ".tar")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3_client._client_of.cache_clear()
    with pytest.raises(ConfigError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        find_objects("s3://voices/a", ".tar")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("notaurl", "notaurl"),
        ("ftp://x", "ftp://x"),
        ("//h", "//h"),
        ("http://", "http://"),
        ("http://[::1", "http://[::1"),
        ("http://h:abc", "http://h:abc"),
        ("http://h:99999", "http://h:99999"),
        (" http://h", " http://h"),
        ("user:hunter2pw@h:9000", "****@h:9000"),
        ("ftp://user:hunter2pw@h", "ftp://****@h"),
        ("http://user:hunter/2pw@h", "http://****@h"),
    ],
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_what_is_no_address_of_a_service_is_refused_by_its_name(bucket, monkeypatch, anew, variable, address, shown):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    monkeypatch.setenv(variable, address)
    with pytest.raises(ConfigError) as refused:
        find_objects("s3://voices/a", ".tar")
    assert (
        str(refused.value) == f"{variable} {shown!r}: no address of a service; write http://HOST:PORT or https://HOST"
    )


@pytest.mark.parametrize(
    "line", ["endpoint_url = notaurl", "services = near\n[services near]\ns3 =\n  endpoint_url = notaurl"]
)
def test_an_address_of_the_profile_is_refused_as_such(bucket, monkeypatch, anew, tmp_path, line):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    (tmp_path / "config").write_text(f"[default]\n{line}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(ConfigError, match=r"^endpoint_url of the AWS profile: no address of a service"):
        find_objects("s3://voices/a", ".tar")


@pytest.mark.parametrize(
    ("variable", "words"), [("AWS_PROFILE", "The config profile (no one's)"), ("AWS_DEFAULT_REGION", "no one's")]
)
def test_other_settings_that_no_client_can_be_made_with_are_refused(bucket, monkeypatch, anew, variable, words):
    monkeypatch.setenv(variable, "no one's")
    with pytest.raises(ConfigError, match=re.escape(words)):
        find_objects("s3://voices/a", ".tar")


def test_a_service_that_goes_away_amid_the_work_leaves_it_to_be_continued(bucket, monkeypatch, anew):
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        assert find_objects("s3://requests/b.tar", ".tar")
    with pytest.raises(
        StorageError, match=r"have it answer again, then run the same command again: finished work is kept"
    ):
        find_objects("s3://requests/b.tar", ".tar")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_S3 names another"):
        find_objects("s3://other", ".tar")  # of which nothing was read yet


def refused(code):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "PutObject")


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (refused("ExpiredToken"), "ExpiredToken; the credentials have expired; renew them"),
        (refused("InvalidAccessKeyId"), "InvalidAccessKeyId; the credentials in use may not do this"),
        (refused("RequestTimeTooSkewed"), "RequestTimeTooSkewed; this machine's clock is wrong"),
        (NoCredentialsError(), "no credentials; set AWS_ACCESS_KEY_ID"),
    ],
)
def test_credentials_that_end_amid_the_work_leave_it_to_be_continued(anew, error, begins):
    kinds = []
    for _ in range(2):
        with pytest.raises((ConfigError, StorageError)) as raised, s3_client.explain_request_errors("s3://b/a"):
            raise error
        assert str(raised.value).startswith(f"s3://b/a: {begins}")
        kinds.append(type(raised.value))
        with s3_client.explain_request_errors("s3://b/c"):
            pass  # an answer
    assert kinds == [ConfigError, StorageError]
    assert str(raised.value).endswith("run the same command again: finished work is kept")


def test_a_missing_right_is_a_wrong_setting_until_work_is_done_with_it(anew):
    """A bucket that may be read and not written is found out by the first put; workers begin later than that."""
    with s3_client.explain_request_errors("s3://b/c"):
        pass
    with pytest.raises(ConfigError, match="may not do this"), s3_client.explain_request_errors("s3://b/a"):
        raise refused("AccessDenied")
    s3_client.go_on()
    with pytest.raises(StorageError, match=r"may not do this.*kept"), s3_client.explain_request_errors("s3://b/a"):
        raise refused("AccessDenied")
    with pytest.raises(StorageError, match="have it answer again"), s3_client.explain_request_errors("s3://x"):
        raise EndpointConnectionError(endpoint_url="http://h")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_what_its_name_says(bucket, fault):
    """To a client that tries once."""
    once = Config(retries={"total_max_attempts": 1}, read_timeout=10)
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=1, faults=[fault], stall_s=0.3) as proxy:
        client = boto3.client("s3", endpoint_url=proxy.url, config=once)
        began = time.monotonic()
        if fault == "stall":
            assert client.get_object(Bucket="requests", Key="b.tar")["Body"].read() == b"b.tar" * 1000
            assert time.monotonic() - began > 0.3
        else:
            wrong = {
                "refuse": (ClientError, "SlowDown"),
                "reset": (ConnectionClosedError, "closed"),
                "cut": (ResponseStreamingError, "2500 bytes read, 2500 more expected"),
            }
            kind, words = wrong[fault]
            with pytest.raises(kind, match=words):
                client.get_object(Bucket="requests", Key="b.tar")["Body"].read()
        assert proxy.seen == {fault: 1}


def test_no_error_of_a_request_has_the_password_of_its_address(bucket, monkeypatch, anew):
    """Not in the ledger, the log or the page either: they get the error from here."""
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:hunter2pw@127.0.0.1:9")
    with pytest.raises(ConfigError) as unreachable:
        find_objects("s3://voices/a", ".tar")
    assert "http://****@127.0.0.1:9" in str(unreachable.value) and "hunter2pw" not in str(unreachable.value)
    with pytest.raises(DataError) as broken, s3_client.explain_request_errors("s3://voices/a"):
        raise ConnectionClosedError(endpoint_url="http://user:hunter2pw@127.0.0.1:9")
    assert "http://****@127.0.0.1:9" in str(broken.value) and "hunter2pw" not in str(broken.value)
