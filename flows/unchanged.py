"""Runs that change nothing: found out in this process by what is recorded, before a server and workers are started.

Nobody sees such a run on its own Prefect server, which would be gone with it; all else that it leaves is the same.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clean_corpus.flows import checks
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.corpus_run import CorpusRun, program_versions, settings
from clean_corpus.flows.engines.base import Result
from clean_corpus.flows.observe import logs
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.flows.stages import Stage
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.stage_cache import NotRecorded, only_recorded
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.discover.groups import Groups
from clean_corpus.pipeline.report import made_of
from clean_corpus.pipeline.storage.base import Store

MOST_CLIPS = 50_000  # of more, workers side by side find results sooner than this process alone


class _Here:
    """An engine without workers, whose calls are made in this process."""

    workers = slots = present = 0

    def run(self, function: Callable[..., Result], *args: object, limit_s: float | None = None) -> Result:
        return function(*args)

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was started."""


class _Recorded:
    """Work that takes what is recorded, and stops where something has to be made or committed."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store, self._observer = store, observer

    def begin(self, groups: Groups) -> None:
        if not groups.as_before:
            raise NotRecorded("other recordings than the last time")

    def each(self, stage: Stage, items: Iterator[tuple[int, Any]], total: int) -> Iterator[tuple[int, Any]]:
        with self._observer.stage(stage.name, total) as one_ended:
            for number, item in items:
                yield number, stage.function(item)
                one_ended()

    def before_commit(self, draft: Manifest) -> None:
        newest = versions.latest(self._store)
        if newest is None or newest.objects != draft.objects:
            raise NotRecorded("another version than the newest")
        if not made_of.is_of(self._store, made_of.facts(newest)):
            raise NotRecorded("no report of the newest version")

    def once(self, name: str, function: Callable[[], Any]) -> Any:
        return function()

    def show(self, summary: Mapping[str, Any], report: str) -> None:
        """There is no server to show it on."""


def rerun(config: RunConfig) -> dict[str, Any] | None:
    """Make a run that changes nothing, without server and workers; return what run.json says, None where there is work.

    Where there is work, nothing is left but what the run that does it finds again.
    Raises: as the flow.
    """
    if not _is_apt(config):
        return None
    networks, store = checks.check(config), checks.prepared_store(config)
    if not _may_be(store, config):
        return None
    observer = Observer(config.observe, run=str(uuid.uuid4()), output=config.output)
    with store.only_run(), scratch_database() as database, logs.held_back() as say_lines:
        try:
            work = _Recorded(store, observer)
            with only_recorded():
                summary = CorpusRun(config, networks, store, _Here(), observer, database, work).all_stages()
        except NotRecorded:
            return None
        except Exception:
            with observer:
                say_lines()
                raise
        with observer:
            say_lines()
            return summary


def _is_apt(config: RunConfig) -> bool:
    """Return whether nobody waits for a flow run, and this process alone is quick enough: nothing has to be fetched."""
    is_told = config.hooks.on_finish or config.hooks.on_failure or "PREFECT_API_URL" in os.environ
    is_local = isinstance(config.input, Path) and isinstance(config.output, Path) and not config.score.clean_dir
    return is_local and not is_told


def _may_be(store: Store, config: RunConfig) -> bool:
    """Return whether the newest version was made with these settings by this program, and is not too large."""
    newest = versions.latest(store)
    if newest is None or newest.ledger.samples > MOST_CLIPS:
        return False
    wanted = {"config": settings(config), "versions": program_versions()}
    return all(newest.run.get(name) == json.loads(json.dumps(value)) for name, value in wanted.items())
