"""A group of recordings is local in its block, from a folder as it lies and from a bucket as it was listed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.storage import s3_client, s3_objects
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.paths import REPOSITORY

BUCKET = "fetched"


def test_a_local_group_lies_where_it_was_found(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"a")
    group = find_all(tmp_path, exclude=None)
    with local_group(tmp_path, group, DEFAULT_S3) as (folder, found):
        assert (folder, found) == (tmp_path, group)
    with local_group(tmp_path / "a.wav", group, DEFAULT_S3) as (folder, found):
        assert (folder, found) == (tmp_path, group)


def test_a_group_of_a_bucket_has_its_hashes_and_what_changed_since_has_an_error(client):
    root = S3Folder(BUCKET, "in")
    for name in ("a.wav", "deep/b.wav", "changed.wav", "gone.wav"):
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode())
    group = find_all(root, exclude=None)
    client.put_object(Bucket=BUCKET, Key=root.key("changed.wav"), Body=b"other")
    client.delete_object(Bucket=BUCKET, Key=root.key("gone.wav"))
    with local_group(root, group, DEFAULT_S3) as (folder, found):
        found = {recording.path: recording for recording in found}
        assert (folder / "deep" / "b.wav").read_bytes() == b"deep/b.wav"
        assert found["a.wav"].sha256 == hashlib.sha256(b"a.wav").hexdigest()
        for name in ("changed.wav", "gone.wav"):
            assert found[name].error == "source changed: it is not what was listed; run again"
        assert list(found) == [recording.path for recording in group]
    assert not folder.exists()


KILLED = """
import signal, time
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import local_group

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup, under which tests may run, has ignored
root = S3Folder("fetched", "killed")
with local_group(root, find_all(root, exclude=None), DEFAULT_S3) as (folder, _):
    print(folder / "a.wav", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_process_that_is_killed_leaves_no_recording_of_the_bucket_behind(number, client, tmp_path):
    client.put_object(Bucket=BUCKET, Key="killed/a.wav", Body=b"a.wav")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, env=environment)
    path = Path(process.stdout.readline().strip())
    assert path.read_bytes() == b"a.wav" and tmp_path in path.parents
    process.send_signal(number)
    process.communicate()
    end = time.monotonic() + 30
    while (left := list(tmp_path.iterdir())) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


# ---- what is wrong with one object is that object's row


class Stubborn:
    """A client whose GET of some keys always ends with a code, as a server would say it."""

    def __init__(self, client, codes: dict[str, tuple[str, int]]) -> None:
        self._client, self.codes = client, codes

    def __getattr__(self, name):
        return getattr(self._client, name)

    def get_object(self, *, Key, **arguments):
        if Key in self.codes:
            code, status = self.codes[Key]
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")
        return self._client.get_object(Key=Key, **arguments)


@pytest.fixture
def stubborn(client, monkeypatch):
    """Have GETs of some keys end with a code."""

    def make(codes: dict[str, tuple[str, int]]) -> None:
        monkeypatch.setattr(s3_objects, "client", lambda *_: Stubborn(client, codes))
        monkeypatch.setattr(s3_client, "RETRY_S", 0)

    return make


def put(client, root, *names, **settings):
    for name in names:
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode(), **settings)


def errors(root, group) -> dict[str, str | None]:
    with local_group(root, group, DEFAULT_S3) as (_, found):
        return {recording.path: recording.error for recording in found}


def test_an_archived_object_is_its_own_row(client):
    root = S3Folder(BUCKET, "archived")
    put(client, root, "a.wav")
    put(client, root, "b.wav", StorageClass="GLACIER")
    assert errors(root, find_all(root, exclude=None)) == {
        "a.wav": None,
        "b.wav": "archived: InvalidObjectState; restore it from its storage class, then run again",
    }
    assert errors(root / "b.wav", find_all(root / "b.wav", exclude=None))["b.wav"].startswith("archived")


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("KMS.DisabledException", 400, "refused: the server does not give this object, KMS.DisabledException"),
        (
            "InvalidRequest",
            400,
            "refused: the server does not give this object, InvalidRequest",
        ),  # encrypted by a customer's key
        ("XAmzContentSHA256Mismatch", 400, "refused: the server does not give this object, XAmzContentSHA256Mismatch"),
        ("MethodNotAllowed", 405, "refused: the server does not give this object, MethodNotAllowed"),
        ("AccessDenied", 403, "access denied"),
        ("NoSuchKey", 404, "source changed: it is not what was listed; run again"),
        ("InternalError", 500, "cannot be read: s3://fetched/codes/a.wav: InternalError"),
        ("SlowDown", 503, "cannot be read: s3://fetched/codes/a.wav: SlowDown"),
    ],
)
def test_any_error_of_one_object_is_its_own_row(client, stubborn, code, status, reason):
    """Even one that looks like the service's: as long as others come, or a listing where there is no other."""
    root = S3Folder(BUCKET, "codes")
    put(client, root, "a.wav", "b.wav")
    group = find_all(root, exclude=None)
    stubborn({"codes/a.wav": (code, status)})
    assert errors(root, group) == {"a.wav": reason, "b.wav": None}
    assert errors(root, group[:1]) == {"a.wav": reason}


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "NoSuchBucket"])
def test_a_service_that_fails_for_all_stops_the_run(client, stubborn, code):
    root = S3Folder(BUCKET, "service")
    put(client, root, "a.wav", "b.wav")
    group = find_all(root, exclude=None)
    stubborn({"service/a.wav": (code, 500), "service/b.wav": (code, 500)})
    with pytest.raises(StorageError, match=f"{code}; run the same command again"):
        errors(root, group)
    with pytest.raises(StorageError, match=r"SignatureDoesNotMatch.*run the same command again"):  # it has answered
        stubborn({"service/a.wav": ("SignatureDoesNotMatch", 403)})
        errors(root, group)


def test_names_that_no_file_can_have_have_rows_with_the_reason_and_others_come(client):
    root = S3Folder(BUCKET, "names")
    put(client, root, "a.wav", "a.wav/b.wav", "a.wav/deep/c.wav", "d//e.wav", "f/./g.wav", "h.wav/", "ok.wav")
    found = find_all(root, exclude=None)
    folder = "no file name: the key is also a folder of other objects; rename the object"
    empty = "no file name: the key has an empty part (two slashes, or one at its start or end)"
    rows = errors(root, found)
    assert {path: error and error.partition("; rename the object")[0] for path, error in rows.items()} == {
        "a.wav": folder.partition(";")[0], "a.wav/b.wav": None, "a.wav/deep/c.wav": None, "d//e.wav": empty,
        "f/./g.wav": "no file name: the key has the part '.'", "h.wav/": empty, "ok.wav": None,
    }  # fmt: skip
    for recording in found:  # alone, as after a crash
        assert errors(root, [recording])[recording.path] == rows[recording.path]


def test_a_manifest_or_sidecar_that_cannot_be_had_is_named_with_the_reason(client):
    root = S3Folder(BUCKET, "sidecars")
    put(client, root, "a.wav", "b.wav")
    put(client, root, "a.txt", "metadata.csv", StorageClass="GLACIER")
    rows = {recording.path: recording.error for recording in find_all(root, exclude=None)}
    assert rows.keys() == {"a.wav", "b.wav", "a.txt", "metadata.csv"}
    assert all(rows[name].startswith("archived: InvalidObjectState") for name in ("a.txt", "metadata.csv"))
