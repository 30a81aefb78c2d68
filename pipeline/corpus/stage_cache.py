"""The results of finished stages, found again under the name of their content.

A result is a small JSON object below work/ that names the tars it rests on. It is written last, so a stage is either
recorded, with every tar in place, or has to be run. The name hashes everything that decides the result: the bytes of
the input, the settings that touch it, the weights, the VERSION that the stage's module states, and the versions of the
libraries that compute it. Source code is not hashed: whoever changes what a stage computes raises its VERSION, and
tests/pipeline/corpus/test_golden.py fails until that happens.
"""

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.records import Outcome, named_shards
from clean_corpus.pipeline.storage.base import Store

Result = TypeVar("Result")

_only_recorded: ContextVar[bool] = ContextVar("clean_corpus_only_recorded", default=False)


class NotRecorded(CleanCorpusError):
    """Something would have to be computed, where only what is recorded may be used."""


@contextmanager
def only_recorded() -> Iterator[None]:
    """Have `find` raise NotRecorded in the block where there is no result, before anything is fetched or computed."""
    token = _only_recorded.set(True)
    try:
        yield
    finally:
        _only_recorded.reset(token)


def cached(
    store: Store,
    stage: str,
    name: str,
    kind: Any,
    compute: Callable[[], Result],
    join: Callable[[], tuple[Result, bool] | None] = lambda: None,
) -> Outcome[Result]:
    """Return the recorded result of a stage, or join it of the results of parts, or compute it; and record it.

    `kind` is the result's dataclass, `name` its content name. A result whose tars are gone or cut counts as missing.
    `join` returns a result and whether all of its parts were there, None where there are no parts.
    Raises: StorageError if the result cannot be written, and whatever `compute` raises.
    """
    start = time.perf_counter()
    found = find(store, stage, name, kind)
    if found is not None:
        return Outcome(name, found, time.perf_counter() - start, reused=True)
    result, reused = join() or (compute(), False)
    record(store, stage, name, kind, result)
    return Outcome(name, result, time.perf_counter() - start, reused=reused)


def find(store: Store, stage: str, name: str, kind: Any) -> Any:
    """Return the recorded result, None if there is none or one of its tars is gone or has another size.

    Raises: NotRecorded instead within `only_recorded`.
    """
    found = _recorded(store, f"work/{stage}/{name}.json", kind)
    if found is None and _only_recorded.get():
        raise NotRecorded(f"work/{stage}/{name}.json is not there, or names what is gone")
    return found


def _recorded(store: Store, key: str, kind: Any) -> Any:
    try:
        found = TypeAdapter(kind).validate_json(store.read(key))
    except FileNotFoundError:
        return None
    return found if all(store.size(shard.key) == shard.size for shard in named_shards(found)) else None


def record(store: Store, stage: str, name: str, kind: Any, result: object) -> None:
    """Write a result under its name; every tar that it names is in place already."""
    store.write(f"work/{stage}/{name}.json", canonical_json(TypeAdapter(kind).dump_python(result, mode="json")))


@cache
def library_versions(*packages: str) -> tuple[str, ...]:
    """Return the installed versions of libraries that decide a stage's bytes, as parts of its name.

    >>> library_versions("webdataset")[0].startswith("webdataset ")
    True
    """
    return tuple(f"{package} {importlib.metadata.version(package)}" for package in packages)
