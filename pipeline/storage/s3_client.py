"""Objects of S3 buckets: how they are found, read, written and claimed.

Credentials and region come from boto3's standard chain (environment, ~/.aws, instance role); a vendor other than AWS is
named by `s3.endpoint_url`, AWS_ENDPOINT_URL_S3 or `endpoint_url` of the profile.
"""

import fnmatch
import glob
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from clean_corpus.pipeline.core.compute_lock import release_compute_lock
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.locations import SCHEME, S3Folder, parse_location

Result = TypeVar("Result")
PATIENCE_S = 150  # for which a request is made again while the service is away, or busy, or the network fails
ATTEMPTS = 3  # of botocore, within each of ours: its quota of retries is soon used up
PAGE = 1000  # keys in one answer to a listing, the most that S3 gives
TIMEOUT_S = 30  # without a byte
PART_BYTES = 16 * 2**20  # of a multipart upload
DEFAULTS = S3Config()
REFUSED = {
    "401", "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
    "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
MISSING = {"404", "NoSuchKey", "NotFound"}
CHANGED = {"412", "PreconditionFailed"}
# NoSuchUpload: the answer to a first attempt at ending an upload was lost, and the server knows it no longer.
BUSY = {"429", "NoSuchUpload", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}


class NotAsListed(DataError):
    """A listed object cannot be had: another lies there by now, or none, or it is not for us."""


@dataclass(frozen=True, order=True, slots=True)
class S3Object:
    """One object, there or not; `etag` and `size` as a listing gave them."""

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
        """The whole object in a file without a name, which nothing that dies can leave behind.

        Raises: DataError if it cannot be read; ConfigError if who asks may not, or the service cannot be reached.
        """
        with tempfile.TemporaryFile() as file:
            if not download_into(file, self.bucket, self.key, DEFAULTS):
                raise DataError(f"{self}: 404")
            file.seek(0)
            yield file


def find_objects(where: str, suffix: str) -> list[S3Object]:
    """Objects that s3://BUCKET/KEY names and whose key ends with a suffix, sorted.

    KEY is an object, a folder (what lies directly below) or a pattern of the shell's. Empty if there are none.
    Raises: ConfigError if no bucket is named, it may not be listed, or the service cannot be reached; DataError if
    there is no such bucket.
    """
    bucket = parse_location(where).bucket
    key = where.removeprefix(SCHEME).partition("/")[2]
    if glob.has_magic(key):
        start = min(key.index(c) for c in "*?[" if c in key)
        matching = (o for o in listed(bucket, key[:start]) if fnmatch.fnmatchcase(o.key, key))
        return sorted(o for o in matching if o.key.endswith(suffix))
    if key.endswith(suffix):
        return [o for o in listed(bucket, key, "/") if o.key == key]
    folder = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    return sorted(o for o in listed(bucket, folder, "/") if o.key.endswith(suffix))


def listed(bucket: str, prefix: str, delimiter: str = "", config: S3Config = DEFAULTS) -> Iterator[S3Object]:
    """Objects below a prefix in the order of their keys, a page in memory at a time.

    Raises: as `find_objects`.
    """
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": PAGE}
    asked |= _payer(config)
    while True:
        with explained(f"{SCHEME}{bucket}/{prefix}"):
            page = _patiently(client(config).list_objects_v2, **asked)
        for entry in page.get("Contents", ()):
            yield S3Object(bucket, entry["Key"], entry["ETag"].strip('"'), entry["Size"])
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def download(source: S3Object, target: Path, config: S3Config) -> None:
    """The object as it was listed, as a file.

    Raises: NotAsListed if another lies there by now, or none, or it alone is forbidden; DataError and ConfigError as
    `S3Object.opened`.
    """
    arguments = _reading(config) | ({"IfMatch": f'"{source.etag}"'} if source.etag else {})
    with explained(str(source)), release_compute_lock():
        try:
            # Without parts: each would be asked for alone, and only the first answer belongs to If-Match's object.
            with target.open("wb") as file:
                _body(source, arguments, file, config)
        except _client_errors() as error:
            if code_of(error) in CHANGED | MISSING:
                raise NotAsListed("source changed: it is not what was listed; run again") from None
            if code_of(error) in {"403", "AccessDenied"}:
                raise NotAsListed("access denied") from None
            raise


def _body(source: S3Object, arguments: dict[str, Any], file: BinaryIO, config: S3Config) -> None:
    """One answer's body; one that breaks off is asked for anew."""

    def get() -> None:
        answer = client(config).get_object(Bucket=source.bucket, Key=source.key, **arguments)
        file.seek(0)
        file.truncate()
        for piece in answer["Body"].iter_chunks(2**18):
            file.write(piece)

    _patiently(get)


def read(bucket: str, key: str, config: S3Config) -> bytes | None:
    """A whole small object, None if there is none."""
    buffer = io.BytesIO()
    with explained(f"{SCHEME}{bucket}/{key}"), release_compute_lock():
        try:
            _body(S3Object(bucket, key), _reading(config), buffer, config)
        except _client_errors() as error:
            if code_of(error) in MISSING:
                return None
            raise
    return buffer.getvalue()


@dataclass(frozen=True)
class Head:
    """What a server says of an object; `age_s` by the server's own clock, so that no clock of ours has to be right."""

    size: int
    etag: str
    age_s: float


def head(bucket: str, key: str, config: S3Config) -> Head | None:
    """What the server says of an object, None if there is none."""
    with explained(f"{SCHEME}{bucket}/{key}"), release_compute_lock():
        try:
            answer = _patiently(client(config).head_object, Bucket=bucket, Key=key, **_payer(config))
        except _client_errors() as error:
            if code_of(error) in MISSING:
                return None
            raise
    now: datetime = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return Head(answer["ContentLength"], answer["ETag"].strip('"'), (now - answer["LastModified"]).total_seconds())


def download_into(file: BinaryIO, bucket: str, key: str, config: S3Config) -> bool:
    """A whole object, in parts if it is large; False if there is none."""
    with explained(f"{SCHEME}{bucket}/{key}"), release_compute_lock():
        try:
            _patiently(_download, file, bucket, key, config)
        except _client_errors() as error:
            if code_of(error) in MISSING:
                return False
            raise
    return True


def upload(file: BinaryIO, bucket: str, key: str, config: S3Config, content_type: str | None = None) -> None:
    """A file as an object, in parts if it is large; an upload that does not end leaves no object."""
    arguments = _writing(config) | ({"ContentType": content_type} if content_type else {})
    with explained(f"{SCHEME}{bucket}/{key}"), release_compute_lock():
        _patiently(_upload, file, bucket, key, config, arguments)


def _download(file: BinaryIO, bucket: str, key: str, config: S3Config) -> None:
    file.seek(0)
    file.truncate()
    _transfer(config, "download_fileobj", bucket, key, file, ExtraArgs=_reading(config))


def _upload(file: BinaryIO, bucket: str, key: str, config: S3Config, arguments: dict[str, str]) -> None:
    file.seek(0)
    with os.fdopen(os.dup(file.fileno()), "rb") as twin:  # it is closed at the end
        _transfer(config, "upload_fileobj", twin, bucket, key, ExtraArgs=arguments)


def create(bucket: str, key: str, data: bytes, config: S3Config) -> bool:
    """Put an object that was not there; False if another one is. What is put must differ from what others would put.

    Raises: ConfigError if the server knows no conditional put.
    """
    where = f"{SCHEME}{bucket}/{key}"
    with explained(where), release_compute_lock():
        try:
            arguments = {"Bucket": bucket, "Key": key, "Body": data, "IfNoneMatch": "*", **_writing(config)}
            _patiently(client(config).put_object, **arguments)
        except _client_errors() as error:
            if code_of(error) in {"501", "NotImplemented"}:
                raise ConfigError(
                    f"{where}: this server cannot put an object only if there is none (If-None-Match); use another"
                ) from None
            if code_of(error) not in CHANGED | {"409", "ConditionalRequestConflict"}:
                raise
            return read(bucket, key, config) == data  # ours, if the answer to a first attempt was lost
    return True


def delete(bucket: str, key: str, config: S3Config) -> None:
    """Remove an object if it is there."""
    with explained(f"{SCHEME}{bucket}/{key}"), release_compute_lock():
        _patiently(client(config).delete_object, Bucket=bucket, Key=key, **_payer(config))


# ---- errors ----------------------------------------------------------------------------------------------------


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what boto3 raises within the block into an error that names the place, and never what was signed."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
    )
    from s3transfer.exceptions import RetriesExceededError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except CleanCorpusError:
        raise
    except (NoCredentialsError, PartialCredentialsError):
        raise ConfigError(
            f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except EndpointConnectionError as error:
        raise ConfigError(f"{where}: {error}; AWS_ENDPOINT_URL_S3 names another service") from None
    except ClientError as error:
        if code_of(error) in REFUSED:
            raise ConfigError(f"{where}: {code_of(error)}; {_remedy(code_of(error))}") from None
        raise DataError(f"{where}: {code_of(error)}") from None
    except (BotoCoreError, Boto3Error, RetriesExceededError, HTTPError, ConnectionError) as error:
        raise DataError(f"{where}: {error}") from None


def _remedy(code: str) -> str:
    if code.startswith(("Expired", "TokenRefresh")):
        return "the credentials have expired; renew them and run the same command again: finished work is kept"
    if code == "RequestTimeTooSkewed":
        return "this machine's clock is wrong by more than the server allows; set it and run the same command again"
    return "the credentials in use may not do this"


def code_of(error: Any) -> str:
    """The code of a ClientError."""
    return str(error.response.get("Error", {}).get("Code", "unknown error"))


def _client_errors() -> type[Exception]:
    from botocore.exceptions import ClientError

    return ClientError


# ---- patience --------------------------------------------------------------------------------------------------


def _patiently(function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """Call, and call again after longer and longer times while what fails may pass."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    again = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_random_exponential(multiplier=0.25, max=10),
        stop=stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    return again(function, *arguments, **named)


def _may_pass(error: BaseException) -> bool:
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NoConnection
    from s3transfer.exceptions import RetriesExceededError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in BUSY or (status >= 500 and code_of(error) != "NotImplemented" and status != 501)
    passing = HTTPClientError, IncompleteReadError, NoConnection, RetriesExceededError, HTTPError, ConnectionError
    return isinstance(error, passing)


# ---- clients ---------------------------------------------------------------------------------------------------


def _payer(config: S3Config) -> dict[str, str]:
    return {"RequestPayer": "requester"} if config.requester_pays else {}


_reading = _payer


def _writing(config: S3Config) -> dict[str, str]:
    arguments = _payer(config)
    if config.checksum:
        arguments["ChecksumAlgorithm"] = config.checksum.upper()
    if config.sse_kms_key_id:
        arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config.sse_kms_key_id}
    return arguments


def _transfer(config: S3Config, method: str, *arguments: object, **named: object) -> None:
    from boto3.s3.transfer import TransferConfig

    settings = TransferConfig(
        num_download_attempts=ATTEMPTS,
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=4,
    )
    getattr(client(config), method)(*arguments, Config=settings, **named)


def client(config: S3Config = DEFAULTS) -> Any:
    """This process's client."""
    return _client_of(os.getpid(), config.endpoint_url, config.checksum)


@lru_cache(maxsize=4)
def _client_of(process: int, endpoint_url: str | None, checksum: str | None) -> Any:
    """One client a process: connections must not be shared with a fork."""
    from boto3.session import Session
    from botocore.config import Config

    return Session().client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            request_checksum_calculation="when_supported" if checksum else "when_required",
        ),
    )


def folder_of(where: S3Folder) -> str:
    """The prefix that all keys below a folder begin with."""
    return f"{where.prefix}/" if where.prefix else ""
