"""Calls of an engine's workers that are made again where they fail."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from clean_corpus.flows.engines.base import Engine, EngineClosed, WorkerHung
from clean_corpus.flows.observe import observer
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus.stage_cache import NotRecorded
from clean_corpus.pipeline.storage.base import StorageError

ATTEMPTS = 3


def call_with_retries(
    engine: Engine,
    stage: str,
    name: str,
    function: Callable[..., Any],
    *args: object,
    attempts: int = ATTEMPTS,
    again_if_hung: bool = True,
    limit_s: float | None = None,
) -> Any:
    """Call a function in a worker up to three times; return its result, or the exception of the last attempt.

    Raises: StorageError, ConfigError, EngineClosed, NotRecorded at once: the run cannot go on.
    """

    def count(state: RetryCallState) -> None:
        observer.count_retry(stage, name, state.outcome and state.outcome.exception())

    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        retry=retry_if_exception(lambda e: _may_pass(e) and (again_if_hung or not isinstance(e, WorkerHung))),
        before_sleep=count,
        reraise=True,
    )
    try:
        return retrying(partial(engine.run, limit_s=limit_s), function, *args)
    except Exception as error:
        if not _may_pass(error):
            raise
        return error


def _may_pass(error: BaseException) -> bool:
    """Return whether another attempt may succeed: not with a full disk or a wrong setting."""
    ends_all = StorageError | ConfigError | EngineClosed | NotRecorded
    return isinstance(error, Exception) and not isinstance(error, ends_all)


def label(first: str, count: int) -> str:
    """Return the name of several groups or shards, made of the name of the first.

    >>> label("a", 1), label("a", 3)
    ('a', 'a and 2 more')
    """
    return first if count == 1 else f"{first} and {count - 1} more"
