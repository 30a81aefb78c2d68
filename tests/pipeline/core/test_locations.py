"""Text means a local path or a folder in a bucket, and nothing else."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import LocationField, S3Folder, parse_location


def test_text_is_a_location():
    assert parse_location("s3://b") == S3Folder("b") and str(parse_location("s3://b/x/y/")) == "s3://b/x/y"
    assert str(parse_location("s3://b/x") / "y") == "s3://b/x/y" and S3Folder("b").key("k") == "k"
    for wrong in ("s3://", "s3:///x", "gs://b/x"):
        with pytest.raises(ConfigError, match="s3://BUCKET"):
            parse_location(wrong)


@pytest.mark.parametrize(("text", "parent"), [("s3://b/x/y", "s3://b/x"), ("s3://b/x", "s3://b"), ("s3://b", "s3://b")])
def test_parents_end_at_the_bucket(text, parent):
    assert parse_location(text).parent == parse_location(parent) and isinstance(parse_location(text).parent, S3Folder)


@pytest.mark.parametrize("prefix", ["", "raw", "raw/deep"])
def test_names_and_keys_are_inverse(prefix):
    folder = S3Folder("b", prefix)
    assert folder.relative(folder.key("x/y.wav")) == "x/y.wav"
    assert folder.key("x").startswith(folder.key_prefix)


def test_a_field_of_a_section_is_text_in_json():
    field = TypeAdapter(LocationField)
    assert field.validate_python("s3://b/x") == S3Folder("b", "x") and field.validate_python("x") == Path("x")
    assert field.dump_python(S3Folder("b", "x"), mode="json") == "s3://b/x"
    for wrong in ("s3://", {"bucket": "b"}):
        with pytest.raises(ValidationError, match="s3://BUCKET/FOLDER"):
            field.validate_python(wrong)
