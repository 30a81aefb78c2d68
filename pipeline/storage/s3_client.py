"""Requests to an S3 service: clients, settings of each request, retries, and errors that a user can act on.

Credentials and region come from boto3's standard chain (environment, ~/.aws, instance role); a vendor other than AWS is
named by `s3.endpoint_url`, AWS_ENDPOINT_URL_S3 or `endpoint_url` of the profile.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from clean_corpus.pipeline.core.config import DEFAULT_S3, S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.locations import SCHEME
from clean_corpus.pipeline.core.masking import mask, mask_address
from clean_corpus.pipeline.storage.base import StorageError

Result = TypeVar("Result")
RETRY_S = 150  # for which a request is repeated while the service is away, or busy, or the network fails
ATTEMPTS = 3  # of botocore, within each of ours: its quota of retries is soon used up
TIMEOUT_S = 30  # without a byte
PART_BYTES = 16 * 2**20  # of a multipart upload or download
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # the first one counts, either more than the profile
PROFILE = "endpoint_url of the AWS profile"
REFUSED = {
    "401", "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
    "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
OF_RIGHTS = {"401", "403", "AccessDenied", "AllAccessDisabled"}  # what lacks may be the right to this request alone
EVERYWHERE = "*"
_amid: set[str] = set()  # buckets that have given this process an answer, or EVERYWHERE
# NoSuchUpload: the answer to a first attempt at ending an upload was lost, and the server knows it no longer.
# ConditionalRequestConflict: another request on the same key is on its way; S3's manual says to try again.
BUSY = {
    "429", "409", "ConditionalRequestConflict", "NoSuchUpload", "RequestTimeout", "SlowDown", "Throttling",
    "ThrottlingException", "TooManyRequests",
}  # fmt: skip


# ---- clients ---------------------------------------------------------------------------------------------------


def client(config: S3Config = DEFAULT_S3, *, attempts: int = ATTEMPTS, timeout_s: float = TIMEOUT_S) -> Any:
    """Return this process's boto3 client for the service that `config` names."""
    return _client_of(os.getpid(), config.endpoint_url, config.checksum, attempts, timeout_s)


@lru_cache(maxsize=8)
def _client_of(process: int, endpoint_url: str | None, checksum: str | None, attempts: int, timeout_s: float) -> Any:
    """Make a client; each process has its own, since connections must not be shared with a fork.

    Raises: ConfigError if the environment or ~/.aws says something of which none can be made.
    """
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        request_checksum_calculation="when_supported" if checksum else "when_required",
    )
    try:
        made = Session().client("s3", endpoint_url=endpoint_url, config=config)
    except BotoCoreError as error:
        raise ConfigError(f"S3: {mask(str(error))}; correct the variables AWS_... or ~/.aws") from None
    except ValueError:
        raise _no_address(endpoint_url) from None
    if not _is_address(made.meta.endpoint_url):
        raise _no_address(endpoint_url)
    return made


def _is_address(text: str) -> bool:
    """Return whether requests can be sent to an address, which botocore does not look at closely."""
    try:
        parts = urlsplit(text)
        return text == text.strip() and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        return False


def _no_address(endpoint_url: str | None) -> ConfigError:
    """Return the error of an address that is none; it names the place where botocore has found it."""
    given = {"s3.endpoint_url": endpoint_url} | {name: os.environ.get(name) for name in ENDPOINTS}
    name, value = next(((name, f" {mask_address(value)!r}") for name, value in given.items() if value), (PROFILE, ""))
    return ConfigError(f"{name}{value}: no address of a service; write http://HOST:PORT or https://HOST")


def read_arguments(config: S3Config) -> dict[str, str]:
    """Return the settings of every request that reads, lists or deletes."""
    return {"RequestPayer": "requester"} if config.requester_pays else {}


def write_arguments(config: S3Config) -> dict[str, str]:
    """Return the settings of every request that writes: payer, checksum and encryption."""
    arguments = read_arguments(config)
    if config.checksum:
        arguments["ChecksumAlgorithm"] = config.checksum.upper()
    if config.sse_kms_key_id:
        arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": config.sse_kms_key_id}
    return arguments


def transfer(config: S3Config, method: str, *arguments: object, **settings: object) -> None:
    """Call the client's upload_fileobj or download_fileobj, which send large objects in parts."""
    from boto3.s3.transfer import TransferConfig

    parts = TransferConfig(
        num_download_attempts=ATTEMPTS,
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=4,
    )
    getattr(client(config), method)(*arguments, Config=parts, **settings)


# ---- retries ---------------------------------------------------------------------------------------------------


def with_retries(function: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
    """Call a function, again after longer and longer pauses while its error may be transient, for RETRY_S at most."""
    from tenacity import stop_after_delay

    return _retrying(is_transient, stop_after_delay(RETRY_S))(function, *arguments, **keywords)


def with_retries_until(until_s: float, function: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
    """Call a function as `with_retries` does, but begin no further attempt later than `until_s` from now."""
    from tenacity import stop_before_delay

    return _retrying(is_transient, stop_before_delay(until_s))(function, *arguments, **keywords)


def with_retries_if_answered(function: Callable[..., object], *arguments: Any, **keywords: Any) -> bool:
    """Call a function with one request in it, again only where the server has answered that it did not do it.

    Return False if an attempt got no such answer and no success: it may still take effect, however late.
    """
    from botocore.exceptions import ClientError
    from tenacity import stop_after_delay

    def is_refusal(error: BaseException) -> bool:
        return isinstance(error, ClientError) and error_code(error) in BUSY

    try:
        _retrying(is_refusal, stop_after_delay(RETRY_S))(function, *arguments, **keywords)
    except Exception as error:
        if is_refusal(error) or not is_transient(error):
            raise
        return False
    return True


def _retrying(is_repeated: Callable[[BaseException], bool], stop: Any) -> Any:
    from tenacity import Retrying, retry_if_exception, wait_random_exponential

    return Retrying(
        retry=retry_if_exception(is_repeated),
        wait=wait_random_exponential(multiplier=0.25, max=10),
        stop=stop,
        reraise=True,
    )


def is_transient(error: BaseException) -> bool:
    """Return whether a request may succeed when it is made again: the service is away, busy, or the network fails."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from s3transfer.exceptions import RetriesExceededError
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        unsupported = error_code(error) == "NotImplemented" or status == 501
        return error_code(error) in BUSY or (status >= 500 and not unsupported)
    transient = (
        HTTPClientError,
        IncompleteReadError,
        BotoConnectionError,
        RetriesExceededError,
        HTTPError,
        ConnectionError,
    )
    return isinstance(error, transient)


# ---- errors ----------------------------------------------------------------------------------------------------


@contextmanager
def explain_request_errors(where: str) -> Iterator[None]:
    """Turn boto3's errors within the block into errors that name the location, and never a password or what was signed.

    Raises: ConfigError if there are no credentials, they are refused, or the service cannot be reached; StorageError
    if that begins amid the work, so that it can be continued; DataError for any other failure.
    """
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

    bucket = where.removeprefix(SCHEME).partition("/")[0]
    is_amid = not _amid.isdisjoint({bucket, EVERYWHERE})
    try:
        yield
        _amid.add(bucket)
    except CleanCorpusError:
        raise
    except (NoCredentialsError, PartialCredentialsError):
        told = f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise _unusable(told, is_amid) from None
    except EndpointConnectionError as error:
        told = f"{where}: {mask(str(error))}; "
        told += "have it answer again" if is_amid else "AWS_ENDPOINT_URL_S3 names another service"
        raise _unusable(told, is_amid) from None
    except ClientError as error:
        if (code := error_code(error)) in REFUSED:
            is_late = EVERYWHERE in _amid if code in OF_RIGHTS else is_amid
            raise _unusable(f"{where}: {code}; {_remedy(code)}", is_late) from None
        raise DataError(f"{where}: {code}") from None
    except (BotoCoreError, Boto3Error, RetriesExceededError, HTTPError, ConnectionError) as error:
        raise DataError(f"{where}: {mask(str(error))}") from None


def go_on() -> None:
    """Say that this process goes on with work that another has begun, whose requests were answered, as workers do."""
    _amid.add(EVERYWHERE)


def _unusable(told: str, is_amid: bool) -> CleanCorpusError:
    """Return the error of a service that gives nothing: of a setting, or amid the work of what has to be continued."""
    return (
        StorageError(f"{told}, then run the same command again: finished work is kept")
        if is_amid
        else ConfigError(told)
    )


def _remedy(code: str) -> str:
    if code.startswith(("Expired", "TokenRefresh")):
        return "the credentials have expired; renew them"
    if code == "RequestTimeTooSkewed":
        return "this machine's clock is wrong by more than the server allows; set it"
    return "the credentials in use may not do this: mend them"


def error_code(error: Any) -> str:
    """Return the code of botocore's ClientError, such as NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", "unknown error"))


def client_error() -> type[Exception]:
    """Return botocore's ClientError, imported at the first request and not when a command starts."""
    from botocore.exceptions import ClientError

    return ClientError
