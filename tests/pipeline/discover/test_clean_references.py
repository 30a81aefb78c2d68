"""Clean references have their recording's relative name, whatever the suffix, in a folder as in a bucket."""

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import clean_references
from clean_corpus.pipeline.discover.clean_references import local_references, require_folder
from clean_corpus.pipeline.storage.s3_objects import S3Object

BUCKET = "references"


@pytest.fixture(params=["folder", "bucket"])
def clean_dir(request, client, tmp_path):
    """A folder or a prefix with references, and one object beside it."""
    root = tmp_path if request.param == "folder" else S3Folder(BUCKET, tmp_path.name)
    for name in ("clean/deep/a.wav", "clean/deep/a.b.flac", "clean/c.mp3", "outside.wav"):
        if request.param == "folder":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(name.encode())
        else:
            client.put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode())
    return root / "clean"


def test_references_are_found_by_their_stem(clean_dir):
    sources = ["deep/a.flac", "deep/a.wav", "deep/a.b.wav", "c.mp3", "gone.wav"]
    with local_references(clean_dir, sources, DEFAULT_S3) as references:
        assert {name: path.read_bytes() for name, path in references.items()} == {
            "deep/a.flac": b"clean/deep/a.wav",
            "deep/a.wav": b"clean/deep/a.wav",
            "deep/a.b.wav": b"clean/deep/a.b.flac",
        }


def test_without_a_folder_nothing_is_found():
    with local_references(None, ["a.wav"], DEFAULT_S3) as references:
        assert references == {}


def test_an_absent_folder_is_refused_by_its_setting(clean_dir):
    require_folder(clean_dir, "--clean", DEFAULT_S3)
    with pytest.raises(ConfigError, match=r"^--clean .*gone: no such folder"):
        require_folder(clean_dir / "gone", "--clean", DEFAULT_S3)


def test_a_source_that_points_outside_has_no_reference_in_a_bucket(client):
    client.put_object(Bucket=BUCKET, Key="a.wav", Body=b"outside")
    with local_references(S3Folder(BUCKET, "clean"), ["../a.wav"], DEFAULT_S3) as references:
        assert references == {}


def test_a_reference_that_cannot_be_had_is_its_error_and_no_other_s(client, monkeypatch):
    root = S3Folder(BUCKET, "kept")
    for name, kind in (("a.wav", "STANDARD"), ("b.wav", "GLACIER"), ("c.wav", "STANDARD")):
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=b"other", StorageClass=kind)
    stale, find = S3Object(BUCKET, root.key("c.wav"), "0" * 32, 5), clean_references._find_in_bucket
    monkeypatch.setattr(clean_references, "_find_in_bucket", lambda *args: stale if args[1] == "c.wav" else find(*args))
    with local_references(root, ["a.wav", "b.wav", "c.wav"], DEFAULT_S3) as found:
        assert found["a.wav"].read_bytes() == b"other"
        words = {name: str(found[name]) for name in ("b.wav", "c.wav")}
    assert words["b.wav"].startswith(f"clean reference s3://{BUCKET}/kept/b.wav: archived: InvalidObjectState")
    assert words["c.wav"].startswith(f"clean reference s3://{BUCKET}/kept/c.wav: source changed")


def test_a_local_reference_that_may_not_be_read_is_its_error(tmp_path, monkeypatch):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(clean_references.os, "access", lambda path, mode: path.name != "a.wav")  # root may read all
    with local_references(tmp_path, ["a.wav", "b.wav"], DEFAULT_S3) as found:
        assert isinstance(found["a.wav"], DataError) and found["b.wav"] == tmp_path / "b.wav"


@pytest.mark.parametrize(("on_disk", "asked"), [("cafe\u0301", "caf\u00e9"), ("caf\u00e9", "cafe\u0301")])
def test_references_are_found_in_another_normalisation(on_disk, asked, tmp_path, client):
    (tmp_path / f"{on_disk}.wav").write_bytes(b"x")
    bucket = S3Folder(BUCKET, f"{tmp_path.name}/forms")
    client.put_object(Bucket=BUCKET, Key=bucket.key(f"{on_disk}.wav"), Body=b"x")
    for folder in (tmp_path, bucket):
        with local_references(folder, [f"{asked}.flac"], DEFAULT_S3) as references:
            assert [path.name for path in references.values()] == [f"{on_disk}.wav"]
