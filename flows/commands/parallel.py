"""Calls of one function for many items in worker processes, with progress: what commands without a flow work with."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from rich.console import Console

from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.engines.machine import visible_gpus
from clean_corpus.flows.observe import progress

Item = TypeVar("Item")


def call_in_workers(
    stage: str,
    items: Sequence[Item],
    unit: str,
    workers: int,
    console: Console,
    function: Callable[..., Any],
    *args: object,
) -> Iterator[tuple[Item, Any]]:
    """Yield each item with `function(item, *args)`, called in a worker process, in the order in which calls end.

    Where a worker dies in a call, the result is its WorkerDied; any other exception is raised.
    """
    with LocalEngine(workers, visible_gpus() or None) as engine, ThreadPoolExecutor(workers) as threads:

        def call(item: Item) -> Any:
            try:
                return engine.run(function, item, *args)
            except WorkerDied as error:
                return error

        futures = {threads.submit(call, item): item for item in items}
        with progress.stage(console, stage, len(items), unit) as advance:
            for future in as_completed(futures):
                advance()
                yield futures[future], future.result()
