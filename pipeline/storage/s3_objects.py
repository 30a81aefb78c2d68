"""Objects of S3 buckets: list, find, read, download, upload, create and delete them."""

import fnmatch
import glob
import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from clean_corpus.pipeline.core.compute_lock import wait_without_turn
from clean_corpus.pipeline.core.config import DEFAULT_S3, S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import SCHEME, parse_location
from clean_corpus.pipeline.storage.s3_client import (
    REFUSED,
    client,
    client_error,
    error_code,
    explain_request_errors,
    is_transient,
    read_arguments,
    transfer,
    with_retries,
    with_retries_if_answered,
    with_retries_until,
    write_arguments,
)

PAGE = 1000  # keys in one answer to a listing, the most that S3 gives
MISSING = {"404", "NoSuchKey", "NotFound"}
CHANGED = {"412", "PreconditionFailed"}
BEHIND_THE_END = {"416", "InvalidRange"}


class ObjectUnavailable(DataError):
    """One listed object cannot be had, while others can: it was replaced, archived, encrypted by a lost key, ...

    The message is a reason without the object's name.
    """


@dataclass(frozen=True, order=True, slots=True)
class S3Object:
    """The address of one object, present or absent; `etag` and `size` (bytes) as a listing gave them."""

    bucket: str
    key: str
    etag: str | None = None
    size: int = 0

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The part of the key after the last slash."""
        return self.key.rpartition("/")[2]

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the whole object as a local file without a name, which no process that dies can leave behind.

        Raises: DataError if it cannot be read; ConfigError or StorageError as `explain_request_errors`.
        """
        with tempfile.TemporaryFile() as file:
            if not download_into(file, self.bucket, self.key, DEFAULT_S3):
                raise DataError(f"{self}: 404")
            file.seek(0)
            yield file


@dataclass(frozen=True)
class Head:
    """Size (bytes), etag and age of an object; the age is by the server's clock, since no clock here need be right."""

    size: int
    etag: str
    age_s: float


# ---- finding ---------------------------------------------------------------------------------------------------


def find_objects(where: str, suffix: str) -> list[S3Object]:
    """Return the objects that s3://BUCKET/KEY names and whose key ends with a suffix, sorted.

    KEY is an object, a folder (what lies directly below) or, if it is neither, a pattern of the shell's. Empty if there
    are none.

    Raises: ConfigError if no bucket is named, it may not be listed, or the service cannot be reached; DataError if
    there is no such bucket.
    """
    bucket = parse_location(where).bucket
    key = where.removeprefix(SCHEME).partition("/")[2]
    if key.endswith(suffix):
        found = [o for o in list_objects(bucket, key, "/") if o.key == key]
    else:
        folder = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
        found = sorted(o for o in list_objects(bucket, folder, "/") if o.key.endswith(suffix))
    if found or not glob.has_magic(key):
        return found
    start = min(key.index(c) for c in "*?[" if c in key)
    matching = (o for o in list_objects(bucket, key[:start]) if fnmatch.fnmatchcase(o.key, key))
    return sorted(o for o in matching if o.key.endswith(suffix))


def list_objects(bucket: str, prefix: str, delimiter: str = "", config: S3Config = DEFAULT_S3) -> Iterator[S3Object]:
    """Yield the objects below a prefix in the order of their keys, with a page of them in memory at a time.

    Raises: as `find_objects`.
    """
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": PAGE}
    request |= read_arguments(config)
    while True:
        with explain_request_errors(f"{SCHEME}{bucket}/{prefix}"):
            page = with_retries(client(config).list_objects_v2, **request)
        for entry in page.get("Contents", ()):
            yield S3Object(bucket, entry["Key"], entry["ETag"].strip('"'), entry["Size"])
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def head(bucket: str, key: str, config: S3Config) -> Head | None:
    """Return an object's size, etag and age, None if it is absent."""
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        try:
            answer = with_retries(client(config).head_object, Bucket=bucket, Key=key, **read_arguments(config))
        except client_error() as error:
            if error_code(error) in MISSING:
                return None
            raise
    now: datetime = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return Head(answer["ContentLength"], answer["ETag"].strip('"'), (now - answer["LastModified"]).total_seconds())


def unsafe_name(path: str) -> str | None:
    """Return why an object's name cannot become a file's below a folder, None if it can.

    >>> unsafe_name("a/../b.wav"), unsafe_name("a/b.wav")
    ('its name points outside the folder', None)
    >>> unsafe_name("a//b.wav")
    'no file name: the key has an empty part (two slashes, or one at its start or end); rename the object'
    """
    parts = path.split("/")
    if ".." in parts:
        return "its name points outside the folder"
    if "" in parts:
        return "no file name: the key has an empty part (two slashes, or one at its start or end); rename the object"
    if "." in parts:
        return "no file name: the key has the part '.'; rename the object"
    return None


# ---- reading ---------------------------------------------------------------------------------------------------


def read(bucket: str, key: str, config: S3Config) -> bytes | None:
    """Return the bytes of a small object, None if it is absent."""
    buffer = io.BytesIO()
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        try:
            _get(S3Object(bucket, key), read_arguments(config), buffer, config)
        except client_error() as error:
            if error_code(error) in MISSING:
                return None
            raise
    return buffer.getvalue()


def read_range(bucket: str, key: str, start: int, length: int, config: S3Config) -> bytes | None:
    """Return so many bytes of an object from `start` on, fewer where it ends; None if it is absent."""
    buffer = io.BytesIO()
    arguments = {"Range": f"bytes={start}-{start + length - 1}", **read_arguments(config)}
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        try:
            _get(S3Object(bucket, key), arguments, buffer, config)
        except client_error() as error:
            if error_code(error) in BEHIND_THE_END:
                return b""
            if error_code(error) in MISSING:
                return None
            raise
    return buffer.getvalue()


def download(source: S3Object, target: Path, config: S3Config) -> None:
    """Write an object to a local file, provided that it is still the one that was listed.

    Raises: ObjectUnavailable if the server refuses this object; DataError if the bucket is gone or the service fails
    for good, and ConfigError as `S3Object.opened`.
    """
    arguments = read_arguments(config) | ({"IfMatch": f'"{source.etag}"'} if source.etag else {})
    with explain_request_errors(str(source)), wait_without_turn():
        try:
            # In one request: of several, for a part each, If-Match would hold for the first alone.
            with target.open("wb") as file:
                _get(source, arguments, file, config)
        except client_error() as error:
            if reason := _reason(error):
                raise ObjectUnavailable(reason) from None
            raise


def _reason(error: Any) -> str | None:
    """Return why a GET was refused if that concerns its object alone; None if the service or the credentials fail."""
    code = error_code(error)
    if code in CHANGED | MISSING:
        return "source changed: it is not what was listed; run again"
    if code in {"403", "AccessDenied"}:
        return "access denied"
    if code == "InvalidObjectState":
        return "archived: InvalidObjectState; restore it from its storage class, then run again"
    if code == "NoSuchBucket" or code in REFUSED or is_transient(error):
        return None
    return f"refused: the server does not give this object, {code}"


def download_into(file: BinaryIO, bucket: str, key: str, config: S3Config) -> bool:
    """Write an object into an open file, in parts if it is large; return False if the object is absent."""

    def attempt() -> None:
        file.seek(0)
        file.truncate()
        transfer(config, "download_fileobj", bucket, key, file, ExtraArgs=read_arguments(config))

    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        try:
            with_retries(attempt)
        except client_error() as error:
            if error_code(error) in MISSING:
                return False
            raise
    return True


def _get(source: S3Object, arguments: dict[str, Any], file: BinaryIO, config: S3Config) -> None:
    """Write the body of one GET into a file; a body that breaks off is requested anew."""

    def attempt() -> None:
        answer = client(config).get_object(Bucket=source.bucket, Key=source.key, **arguments)
        file.seek(0)
        file.truncate()
        for piece in answer["Body"].iter_chunks(2**18):
            file.write(piece)

    with_retries(attempt)


# ---- writing ---------------------------------------------------------------------------------------------------


def upload(file: BinaryIO, bucket: str, key: str, config: S3Config, content_type: str | None = None) -> None:
    """Put an open file as an object, in parts if it is large; an upload that breaks off leaves no object."""
    arguments = write_arguments(config) | ({"ContentType": content_type} if content_type else {})

    def attempt() -> None:
        file.seek(0)
        with os.fdopen(os.dup(file.fileno()), "rb") as duplicate:  # boto3 closes the file that it is given
            transfer(config, "upload_fileobj", duplicate, bucket, key, ExtraArgs=arguments)

    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        with_retries(attempt)


def create(bucket: str, key: str, data: bytes, config: S3Config) -> bool:
    """Put an object if none has its key; return False if another one has. Each caller's data must be its own.

    Raises: ConfigError if the server knows no conditional put.
    """
    where = f"{SCHEME}{bucket}/{key}"
    with explain_request_errors(where), wait_without_turn():
        try:
            arguments = {"Bucket": bucket, "Key": key, "Body": data, "IfNoneMatch": "*", **write_arguments(config)}
            with_retries(client(config).put_object, **arguments)
        except client_error() as error:
            if error_code(error) in {"501", "NotImplemented"}:
                raise ConfigError(
                    f"{where}: this server cannot put an object only if there is none (If-None-Match); use another"
                ) from None
            if error_code(error) not in CHANGED:
                raise
            return read(bucket, key, config) == data  # ours, if the answer to a first attempt was lost
    return True


def put_in_time(bucket: str, key: str, data: bytes, config: S3Config, *, within_s: float, attempt_s: float) -> None:
    """Put a small object, and give up before `within_s` are over; an attempt without an answer ends after `attempt_s`.

    Raises: DataError if it was not put in time; ConfigError as `find_objects`.
    """
    start_s = time.monotonic()  # the first client of a process takes a good part of a second
    once = client(config, attempts=1, timeout_s=attempt_s / 2)  # to connect, and to wait for the answer
    arguments = {"Bucket": bucket, "Key": key, "Body": data, **write_arguments(config)}
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        until_s = within_s - attempt_s - (time.monotonic() - start_s)
        with_retries_until(until_s, once.put_object, **arguments)


def try_delete(bucket: str, key: str, config: S3Config) -> bool:
    """Remove an object; return False if no answer came, so that the request may still take effect."""
    once = client(config, attempts=1)
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        return with_retries_if_answered(once.delete_object, Bucket=bucket, Key=key, **read_arguments(config))


def keeps_deleted(bucket: str, config: S3Config) -> bool | None:
    """Return whether a bucket keeps, or once kept, older versions of objects; None if that may not be asked."""
    with explain_request_errors(f"{SCHEME}{bucket}"), wait_without_turn():
        try:
            return "Status" in with_retries(client(config).get_bucket_versioning, Bucket=bucket)
        except client_error():
            return None


def delete(bucket: str, key: str, config: S3Config) -> None:
    """Remove an object; nothing happens if it is absent."""
    with explain_request_errors(f"{SCHEME}{bucket}/{key}"), wait_without_turn():
        with_retries(client(config).delete_object, Bucket=bucket, Key=key, **read_arguments(config))
