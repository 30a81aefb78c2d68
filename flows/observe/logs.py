"""Log lines of a run, one JSON object or one readable line each, with every credential masked."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Literal

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.masking import mask, masked

LOGGER = logging.getLogger("clean_corpus")
"""Parent of every logger of ours. With PREFECT_LOGGING_EXTRA_LOGGERS=clean_corpus its lines also go to Prefect's UI."""
LOGGER.setLevel(logging.INFO)
LOGGER.propagate = False  # Prefect's console handler on the root would print every line a second time


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
