"""Places in buckets, against a real S3 server over HTTP; and a server that breaks answers off."""

import socket
import threading

import boto3
import pytest

from pipeline import s3
from pipeline.errors import ConfigError, DataError
from pipeline.s3 import S3Object, find_objects

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


def test_a_listing_of_many_pages_is_whole(bucket, monkeypatch):
    monkeypatch.setattr(s3, "PAGE", 2)
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
    s3._client_of.cache_clear()
    yield
    s3._client_of.cache_clear()


def test_missing_credentials_and_services_are_named(bucket, monkeypatch, tmp_path, anew):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9.*AWS_ENDPOINT_URL_S3 names another"):
        find_objects("s3://voices/a", ".tar")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3._client_of.cache_clear()
    with pytest.raises(ConfigError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        find_objects("s3://voices/a", ".tar")


BODY = bytes(range(256)) * 4000


class Breaking:
    """A server that refuses the first request and breaks the second answer off in the middle."""

    def __init__(self) -> None:
        self.gets = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536).decode()
                head = f'Content-Length: {len(BODY)}\r\nETag: "x"\r\nConnection: close\r\n\r\n'.encode()
                if request.startswith("HEAD"):
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                    continue
                self.gets += 1
                if self.gets == 1:
                    connection.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                    connection.sendall(BODY[: len(BODY) // 2] if self.gets == 2 else BODY)


def test_a_refusal_and_a_body_cut_off_are_tried_again(bucket, monkeypatch, anew):
    server = Breaking()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    with S3Object("voices", "x").opened() as file:
        assert file.read() == BODY
    assert server.gets == 3
    server.socket.close()
