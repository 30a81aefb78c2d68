"""Objects of S3 buckets: what a place written s3://BUCKET/KEY means, and how its objects are read.

Credentials, region and endpoint come from boto3's standard chain (environment, ~/.aws, instance role); a vendor other
than AWS is named by AWS_ENDPOINT_URL_S3 or `endpoint_url` of the profile.
"""

import fnmatch
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

from pipeline.errors import ConfigError, DataError

SCHEME = "s3://"
ATTEMPTS = 8  # at each request, and at each part of a body that breaks off; botocore waits longer each time
PAGE = 1000  # keys in one answer to a listing, the most that S3 gives
TIMEOUT_S = 30  # without a byte


@dataclass(frozen=True, order=True)
class S3Object:
    """One object, there or not."""

    bucket: str
    key: str

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
        from boto3.s3.transfer import TransferConfig

        with tempfile.TemporaryFile() as file:
            with explained(str(self)):
                config = TransferConfig(num_download_attempts=ATTEMPTS)
                _client().download_fileobj(self.bucket, self.key, file, Config=config)
            file.seek(0)
            yield file


def find_objects(place: str, suffix: str) -> list[S3Object]:
    """Objects that s3://BUCKET/KEY names and whose key ends with a suffix, sorted.

    KEY is an object, a folder (what lies directly below) or a pattern of the shell's. Empty if there are none.
    Raises: ConfigError if no bucket is named, it may not be listed, or the service cannot be reached; DataError if
    there is no such bucket.
    """
    bucket, _, key = place.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ConfigError(f"{place}: no bucket; write s3://BUCKET/FOLDER")
    if glob.has_magic(key):
        start = min(key.index(c) for c in "*?[" if c in key)
        matching = (o for o in _listed(bucket, key[:start], "") if fnmatch.fnmatchcase(o.key, key))
        return [o for o in matching if o.key.endswith(suffix)]
    if key.endswith(suffix):
        return [o for o in _listed(bucket, key, "/") if o.key == key]
    folder = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    return [o for o in _listed(bucket, folder, "/") if o.key.endswith(suffix)]


def _listed(bucket: str, prefix: str, delimiter: str) -> list[S3Object]:
    with explained(f"{SCHEME}{bucket}/{prefix}"):
        paginator = _client().get_paginator("list_objects_v2")
        pages = paginator.paginate(
            Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": PAGE}
        )
        return sorted(S3Object(bucket, entry["Key"]) for page in pages for entry in page.get("Contents", ()))


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what boto3 raises within the block into an error that names the place, and never what was signed."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError):
        raise ConfigError(
            f"{place}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except EndpointConnectionError as error:
        raise ConfigError(f"{place}: {error}; AWS_ENDPOINT_URL_S3 names another service") from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        if code in {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}:
            raise ConfigError(f"{place}: {code}; the credentials in use may not read it") from None
        raise DataError(f"{place}: {code}") from None
    except (BotoCoreError, Boto3Error) as error:
        raise DataError(f"{place}: {error}") from None


def _client() -> Any:
    return _client_of(os.getpid())


@lru_cache(maxsize=1)
def _client_of(process: int) -> Any:
    """One client a process: connections must not be shared with a fork."""
    from boto3.session import Session
    from botocore.config import Config

    return Session().client(
        "s3",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
        ),
    )
