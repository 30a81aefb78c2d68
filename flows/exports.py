"""The end of a run that exports: the kept clips of its version, as the trainer of `export.layout` reads them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.observe import progress
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.export.export import export
from clean_corpus.pipeline.storage.base import Store


def write_export(
    config: RunConfig, store: Store, manifest: Manifest, to: Location, observer: Observer
) -> dict[str, Any]:
    """Export a version, with progress for people; return what became of it.

    Raises: as clean_corpus.pipeline.export.export.export.
    """

    @contextmanager
    def shown(total: int) -> Iterator[Callable[[], None]]:
        with progress.stage(observer.console, "export", total, "shards") as advance:
            yield advance

    return export(store, manifest, to, config.export, config.s3, progress=shown).summary
