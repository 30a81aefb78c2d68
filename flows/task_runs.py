"""Task runs of a flow: each works through several groups or shards, and gives each result as it comes."""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from clean_corpus.flows import calls
from clean_corpus.flows.engines.base import Engine
from clean_corpus.flows.observe import artifacts, progress
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.flows.stages import Stage
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.discover.groups import Groups

MAX_PER_TASK = 16  # groups or shards in one task run
TASKS_PER_WORKER, MIN_TASKS = 8, 32  # of a stage with enough to do: the last task keeps all others waiting
AHEAD = 1  # task runs more than the engine has room for, so that it need not wait for the next


def per_task(total: int, workers: int) -> int:
    """Return how many groups or shards a task run has.

    >>> per_task(10, 2), per_task(400, 2), per_task(100_000, 64)
    (1, 13, 16)
    """
    return max(1, min(MAX_PER_TASK, -(-total // max(MIN_TASKS, TASKS_PER_WORKER * workers))))


def batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        yield batch


def work_through(function: Callable[[Any], Any], batch: Sequence[tuple[int, Any]], put: Callable[[Any], None]) -> None:
    """Call a function with each item of a batch.

    Results go through `put`, and not back through Prefect, which would hold them until the run ends.
    """
    for number, item in batch:
        put((number, function(item)))


@task(name="ingest", task_run_name="ingest {label}", cache_policy=NO_CACHE)
def ingest_groups(label: str, work_through: Callable[[], None]) -> None:
    work_through()


@task(name="copies", task_run_name="copies {label}", cache_policy=NO_CACHE)
def score_copies(label: str, work_through: Callable[[], None]) -> None:
    work_through()


@task(name="clean", task_run_name="clean {label}", cache_policy=NO_CACHE)
def clean_shards(label: str, work_through: Callable[[], None]) -> None:
    work_through()


@task(name="publish", task_run_name="publish {label}", cache_policy=NO_CACHE)
def publish_shards(label: str, work_through: Callable[[], None]) -> None:
    work_through()


@task(name="report", cache_policy=NO_CACHE)
def make_report(work: Callable[[], None]) -> None:
    work()


@task(name="export", cache_policy=NO_CACHE)
def export_clips(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return work()


STAGES = {"ingest": ingest_groups, "copies": score_copies, "clean": clean_shards, "publish": publish_shards}
ONCE = {"report": make_report, "export": export_clips}


class TaskRuns:
    """Stages worked through in task runs of the flow around them, and shown on its server while they go on."""

    def __init__(self, engine: Engine, observer: Observer) -> None:
        self._engine, self._observer = engine, observer

    def begin(self, groups: Groups) -> None:
        """Every number of groups will do."""

    def each(self, stage: Stage, items: Iterator[tuple[int, Any]], total: int) -> Iterator[tuple[int, Any]]:
        """Yield what a stage makes of each numbered item, in the order of completion; few at a time are in memory.

        Raises: the error that a task run ended with.
        """
        if not total:
            return
        waiting = batches(items, per_task(total, self._engine.workers))
        ends: queue.SimpleQueue[tuple[int, Any] | PrefectFuture[None]] = queue.SimpleQueue()
        running = 0
        with (
            progress.stage(self._observer.console, stage.name, total, stage.unit) as advance,
            self._observer.stage(stage.name, total) as one_ended,
            artifacts.stage(stage.name, total, stage.unit) as show,
        ):
            while True:
                while running < self._engine.slots + AHEAD and (batch := next(waiting, None)):
                    label = calls.label(stage.label(batch[0][1]), len(batch))
                    future = STAGES[stage.name].submit(label, partial(work_through, stage.function, batch, ends.put))
                    future.add_done_callback(ends.put)
                    running += 1
                if not running:
                    return
                end = ends.get()
                if isinstance(end, PrefectFuture):
                    running -= 1
                    end.result()
                    continue
                yield end
                for count in (one_ended, advance, show):
                    count()

    def before_commit(self, draft: Manifest) -> None:
        """Every version will do."""

    def once(self, name: str, function: Callable[[], Any]) -> Any:
        """Do a part of the run that is one call in a task run of its own; return what it returns."""
        return ONCE[name](function)

    def show(self, summary: Mapping[str, Any], report: str) -> None:
        """Show a table of the results on the server, and a link to the report."""
        artifacts.results(summary, report)
