"""The end of a run that exports: the kept clips of its version, as the trainer of `export.layout` reads them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.observe import progress
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.export.export import Exported, export
from clean_corpus.pipeline.storage.base import Store


@task(name="export", cache_policy=NO_CACHE)
def export_clips(work: Callable[[], Exported]) -> dict[str, Any]:
    return work().summary


def write_export(
    config: RunConfig, store: Store, manifest: Manifest, to: Location, observer: Observer
) -> dict[str, Any]:
    """Export a version in a task run of its own; return what became of it.

    Raises: as clean_corpus.pipeline.export.export.export.
    """

    @contextmanager
    def shown(total: int) -> Iterator[Callable[[], None]]:
        with progress.stage(observer.console, "export", total, "shards") as advance:
            yield advance

    with observer.timed("export"):
        return export_clips(lambda: export(store, manifest, to, config.export, config.s3, progress=shown))
