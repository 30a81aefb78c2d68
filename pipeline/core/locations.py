"""Where things lie: a local path, or a folder in a bucket, both written as text by users."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from clean_corpus.pipeline.core.errors import ConfigError

SCHEME = "s3://"


@dataclass(frozen=True, order=True)
class S3Folder:
    """What lies below a prefix of a bucket; the prefix has no slash at its ends and may be empty."""

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def __truediv__(self, name: str) -> "S3Folder":
        return S3Folder(self.bucket, f"{self.prefix}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """The last part."""
        return self.prefix.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> "S3Folder":
        """The folder that this one, or this object, lies in; of a whole bucket itself."""
        return S3Folder(self.bucket, self.prefix.rpartition("/")[0])

    def key(self, name: str) -> str:
        """The whole key of something below."""
        return f"{self.prefix}/{name}" if self.prefix else name


Location = Path | S3Folder


def parse_location(text: str | Location) -> Location:
    """What a user means by text.

    >>> place("s3://voices/raw/"), place("recordings")
    (S3Folder(bucket='voices', prefix='raw'), PosixPath('recordings'))

    Raises: ConfigError if an s3:// place names no bucket.
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


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        raise ValueError("a local path or s3://BUCKET/FOLDER")
    try:
        return parse_location(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


LocationField = Annotated[
    Path | S3Folder, BeforeValidator(_from_json), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""A place as a field of a section: text in YAML, JSON and a deployment's parameters."""
