"""Inputs of buckets are local in the block, outputs are uploaded after it, and errors name the bucket."""

import re

import boto3
import pytest

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder, parse_location
from clean_corpus.pipeline.storage import staging


@pytest.fixture
def root(bucket, request):
    """A prefix of the test's own."""
    return S3Folder(bucket, request.node.name)


def put(root, **objects):
    for name, content in objects.items():
        boto3.client("s3").put_object(Bucket=root.bucket, Key=root.key(name), Body=content)


def names(root):
    page = boto3.client("s3").list_objects_v2(Bucket=root.bucket, Prefix=root.key_prefix)
    return [root.relative(entry["Key"]) for entry in page.get("Contents", ())]


def test_a_local_location_is_used_as_it_is(tmp_path):
    with staging.local_input(tmp_path) as path:
        assert path == tmp_path
    with staging.output_folder(tmp_path) as path:
        assert path == tmp_path
    with staging.output_file(tmp_path / "x") as path:
        assert path == tmp_path / "x"


def test_a_folder_of_a_bucket_is_a_copy_without_checkpoints(root):
    put(root, **{"a.wav": b"a", "deep/b.wav": b"b", "deep/last.ckpt": b"large"})
    with staging.local_input(root) as folder:
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert found == {"a.wav", "deep/b.wav"} and (folder / "deep/b.wav").read_bytes() == b"b"
    assert not folder.exists()


def test_one_object_is_a_file_and_an_absent_one_is_named(root):
    put(root, **{"a.yaml": b"content"})
    with staging.local_input(root / "a.yaml") as path:
        assert (path.name, path.read_bytes()) == ("a.yaml", b"content")
    with pytest.raises(ConfigError, match=f"{root}/gone: no such object"), staging.local_input(root / "gone"):
        pass


def test_an_output_is_uploaded_when_the_block_ends_well_and_other_objects_stay(root):
    put(root, kept=b"kept")
    with pytest.raises(KeyboardInterrupt), staging.output_folder(root) as folder:
        (folder / "x").write_text("x")
        raise KeyboardInterrupt
    assert names(root) == ["kept"]
    with staging.output_folder(root) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_text("x")
    assert names(root) == ["deep/x", "kept"]


def test_pages_are_uploaded_after_the_files_they_show(root, monkeypatch):
    uploaded = []
    monkeypatch.setattr(staging, "upload", lambda file, where, name: uploaded.append(name))
    with staging.output_folder(root) as folder:
        for name in ("a.html", "z.png", "b.html", "a.csv"):
            (folder / name).write_text(name)
    assert uploaded == ["a.csv", "z.png", "a.html", "b.html"]


def test_an_output_file_is_given_with_its_present_content(root):
    put(root, key=b"before")
    with staging.output_file(root / "key") as path:
        assert path.read_bytes() == b"before"
        path.write_text("after")
    with staging.local_input(root / "key") as path:
        assert path.read_bytes() == b"after"
    with pytest.raises(ConfigError, match="a whole bucket"), staging.output_file(S3Folder(root.bucket)):
        pass


def test_a_bucket_that_is_absent_is_named_before_any_work(s3_server):
    with pytest.raises(ConfigError, match="NoSuchBucket; choose a bucket that is there"):
        staging.require_bucket(parse_location("s3://no-such-bucket-here/x"))


def test_a_name_that_points_outside_is_refused(root):
    put(root, **{"../outside": b"x"})
    with pytest.raises(DataError, match=r"points outside the folder: '\.\./outside'"):
        staging.objects_below(root)


def test_errors_name_the_location_and_not_the_temporary_folder(root, tmp_path):
    with (
        pytest.raises(DataError, match=rf"^{re.escape(str(root))}/a is bad$"),
        staging.rename_in_errors(tmp_path, root),
    ):
        raise DataError(f"{tmp_path}/a is bad")
    with pytest.raises(DataError, match=r"^else$"), staging.rename_in_errors(tmp_path, root):
        raise DataError("else")
