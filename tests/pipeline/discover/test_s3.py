"""A bucket's recordings are those of a folder of the same names; a group is local in its block."""

import hashlib

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import find_all

BUCKET = "found"


def put(client, request, *names):
    """Objects below a prefix of the test's own, each holding its name."""
    root = S3Folder(BUCKET, request.node.name)
    for name in names:
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode())
    return root


def test_every_object_has_one_row_but_hidden_and_excluded_ones(client, request):
    root = put(client, request, "b.wav", "a/x.wav", ".hidden.wav", "a/.git/y.wav", "out/z.wav", "folder/")
    recordings = find_all(root, exclude=root / "out")
    assert [(r.path, r.size, r.sha256) for r in recordings] == [("a/x.wav", 7, None), ("b.wav", 5, None)]
    assert recordings[1].etag == hashlib.md5(b"b.wav").hexdigest()


def test_one_object_has_its_sidecar_and_an_absent_one_is_named(client, request):
    root = put(client, request, "a.wav", "a.txt", "b.wav")
    (recording,) = find_all(root / "a.wav", exclude=None)
    assert (recording.path, recording.metadata.text) == ("a.wav", "a.txt")
    with pytest.raises(ConfigError, match="no such object, and nothing lies below it"):
        find_all(root / "gone.wav", exclude=None)


def test_a_name_that_points_outside_cannot_be_read(client, request):
    root = put(client, request, "a/../../x.wav")
    (recording,) = find_all(root, exclude=None, s3=DEFAULT_S3)
    assert recording.error == "its name points outside the folder"
