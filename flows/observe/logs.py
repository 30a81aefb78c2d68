"""Log lines of a run, one JSON object or one readable line each, with every credential masked."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Literal

from clean_corpus.pipeline.core.errors import ConfigError

LOGGER = logging.getLogger("clean_corpus")
"""Parent of every logger of ours. With PREFECT_LOGGING_EXTRA_LOGGERS=clean_corpus its lines also go to Prefect's UI."""
LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False  # Prefect's console handler on the root would print every line a second time

MASK = "****"
_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "RAY_AUTH_TOKEN",
)
_NAME = (
    r"(?:secret|secret[_-]?(?:access[_-]?)?key|access[_-]?key[_-]?id|security[_-]token|token|signature"
    r"|credentials?|password|passwd|api[_-]?key|authorization)"
)
_BASE64 = r"[A-Za-z0-9/+=]"
_PATTERNS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=://)[^\s/@'\"]+(?=@)", MASK),  # user:password of a URL
        (r"(?i)(?<=[?&]sig=)[^\s&'\"]+", MASK),
        (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", MASK),
        (r"(?i)\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", MASK),
        (
            rf"(?i)(?<![a-z0-9])({_NAME}[\"']?\s*[=:]\s*)(?!\*{{4}}|AWS4-HMAC)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&<>]+)",
            rf"\1{MASK}",
        ),
        # what a secret key (40) or a session token (100 and more) looks like without its name; hashes are lower case
        (
            rf"(?<![\w/+=.-])(?={_BASE64}*[a-z])(?={_BASE64}*[A-Z])(?={_BASE64}*[0-9])"
            rf"(?:{_BASE64}{{40}}|{_BASE64}{{100,}})(?![\w/+=-])",
            MASK,
        ),
    )
]


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Keep what other modules log within the block to itself; call what is yielded to have it said from there on."""
    held: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = held.append

    def say() -> None:
        LOGGER.removeHandler(handler)
        for record in held:
            LOGGER.handle(record)

    LOGGER.addHandler(handler)
    try:
        yield say
    finally:
        LOGGER.removeHandler(handler)


def mask(text: str) -> str:
    """Return text without credentials: AWS keys, tokens, a URL's user or signature, and values of known variables.

    >>> mask("https://me:pw@host/x?X-Amz-Signature=ab12&part=1, key AKIAIOSFODNN7EXAMPLE")
    'https://****@host/x?X-Amz-Signature=****&part=1, key ****'
    """
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= 8:  # shorter ones are those of test servers, and words of every text
            text = text.replace(value, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def masked(value: Any) -> Any:
    """Mask every text within lists and mappings; the value of a key that is named as a secret is masked whole."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            key: MASK if re.fullmatch(rf"(?i)(?:.*[_-])?{_NAME}", str(key)) else masked(item)
            for key, item in value.items()
        }
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value


def _facts(record: logging.LogRecord, run: str) -> dict[str, Any]:
    """Return the fields of a line: those of an event, or of any other record the event "message" with its text."""
    own = getattr(record, "fields", None)
    facts: dict[str, Any] = dict(own) if own is not None else {"message": record.getMessage(), "logger": record.name}
    if record.exc_info:
        facts["exception"] = logging.Formatter().formatException(record.exc_info)
    return {
        **masked(facts),
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage() if own is not None else "message",
        "run": run,
    }


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, keys sorted, in ASCII."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_facts(record, self.run), sort_keys=True, default=lambda value: mask(str(value)))


class TextFormatter(logging.Formatter):
    """Formats a record as `TIME LEVEL event key=value ...`; a value with spaces, quotes or line ends is quoted."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record, self.run)
        head = f"{facts.pop('time')} {facts.pop('level').upper()} {facts.pop('event')}"
        return " ".join([head, *(f"{key}={_plain(value)}" for key, value in sorted(facts.items()))])


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=lambda item: mask(str(item)))
    return text if re.fullmatch(r"[^\s\"'=]+", text) else json.dumps(text, ensure_ascii=False)


class _Stderr(logging.Handler):
    """Writes to the standard error of the moment, since a live progress bar puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def handler(
    style: Literal["text", "json"], path: Path | None, run: str, wanted: Callable[[logging.LogRecord], bool]
) -> logging.Handler:
    """Return the handler of one run's lines: a file that is appended to, or standard error.

    Standard error gets only warnings and errors as text, for it is read by people.
    Raises: ConfigError if the file cannot be written.
    """
    result: logging.Handler
    if path is None:
        result = _Stderr(logging.WARNING if style == "text" else logging.INFO)
        if style == "text":
            result.addFilter(lambda record: record.msg != "run_failed")  # whoever started the run prints its error
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            result = WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ConfigError(
                f"observe.log_file {path}: cannot be written: {error.strerror}; choose another, "
                "or null for standard error"
            ) from None
    result.setFormatter(JsonFormatter(run) if style == "json" else TextFormatter(run))
    result.addFilter(wanted)
    return result
