"""Locations that users write as text: a local path, or a folder in a bucket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from clean_corpus.pipeline.core.errors import ConfigError

SCHEME = "s3://"


@dataclass(frozen=True, order=True)
class S3Folder:
    """A bucket and the prefix of the keys below a folder in it.

    The prefix neither begins nor ends with a slash; an empty one stands for the whole bucket.
    """

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, name: str) -> "S3Folder":
        return S3Folder(self.bucket, f"{self.prefix}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """The last part of the prefix, or the bucket's name."""
        return self.prefix.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> "S3Folder":
        """The folder one level up; a whole bucket is its own parent."""
        return S3Folder(self.bucket, self.prefix.rpartition("/")[0])

    @property
    def key_prefix(self) -> str:
        """The text that all keys below this folder begin with: its prefix and a slash, or nothing.

        >>> S3Folder("voices", "raw").key_prefix, S3Folder("voices").key_prefix
        ('raw/', '')
        """
        return self.key("")

    def key(self, name: str) -> str:
        """Return the whole key of an object below this folder.

        >>> S3Folder("voices", "raw").key("a.wav")
        'raw/a.wav'
        """
        return f"{self.prefix}/{name}" if self.prefix else name

    def relative(self, key: str) -> str:
        """Return an object's name below this folder, of its whole key.

        >>> S3Folder("voices", "raw").relative("raw/a.wav")
        'a.wav'
        """
        return key.removeprefix(self.key_prefix)


Location = Path | S3Folder


def parse_location(text: str | Location) -> Location:
    """Return the location that a user's text means; a location is returned as it is.

    Raises: ConfigError if s3:// is followed by no bucket, or the text is an address of another kind.

    >>> parse_location("s3://voices/raw/"), parse_location("recordings")
    (S3Folder(bucket='voices', prefix='raw'), PosixPath('recordings'))
    """
    if not isinstance(text, str):
        return text
    if not text.startswith(SCHEME):
        if "://" in text:
            raise ConfigError(f"{text}: a place is a local path or s3://BUCKET/FOLDER")
        return Path(text)
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ConfigError(f"{text}: no bucket; write s3://BUCKET/FOLDER")
    return S3Folder(bucket, prefix.strip("/"))


def is_within(inner: Location, outer: Location) -> bool:
    """Return whether a location is another, or lies in it, whatever links lead to it.

    >>> is_within(S3Folder("voices", "raw/de"), S3Folder("voices", "raw")), is_within(Path("a"), Path("a/b"))
    (True, False)
    >>> is_within(S3Folder("voices", "raw2"), S3Folder("voices", "raw")), is_within(Path("a"), S3Folder("voices"))
    (False, False)
    """
    if isinstance(inner, Path) and isinstance(outer, Path):
        return inner.resolve().is_relative_to(outer.resolve())
    if isinstance(inner, S3Folder) and isinstance(outer, S3Folder):
        return inner.bucket == outer.bucket and f"{inner.prefix}/".startswith(outer.key_prefix)
    return False


def _validate(value: Any) -> Location:
    if not isinstance(value, str | Path | S3Folder):
        raise ValueError("a local path or s3://BUCKET/FOLDER")
    try:
        return parse_location(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


LocationField = Annotated[
    Path | S3Folder, PlainValidator(_validate), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""The type of a configuration's field that holds a location: text in YAML, JSON and a deployment's parameters."""
