"""A group of recordings is local in its block, from a folder as it lies and from a bucket as it was listed."""

import hashlib

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import local_group

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
