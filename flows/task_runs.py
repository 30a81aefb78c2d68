"""Task runs of a flow: each works through several groups or shards, and gives each result as it comes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

MAX_PER_TASK = 16  # groups or shards in one task run
TASKS_PER_WORKER, MIN_TASKS = 8, 32  # of a stage with enough to do: the last task keeps all others waiting
AHEAD = 1  # task runs more than the engine has room for, so that it need not wait for the next


def per_task(total: int, workers: int) -> int:
    """Return how many groups or shards a task run has.

    >>> per_task(10, 2), per_task(400, 2), per_task(100_000, 64)
    (1, 13, 16)
    """
    return max(1, min(MAX_PER_TASK, -(-total // max(MIN_TASKS, TASKS_PER_WORKER * workers))))


@dataclass(frozen=True)
class Stage:
    """A part of a run: the function called with each item, the task that it is called in, and the names of items."""

    name: str
    unit: str
    task: Task[[str, Callable[[], None]], None]
    function: Callable[[Any], Any]
    label: Callable[[Any], str]


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
def make_report(work_through: Callable[[], None]) -> None:
    work_through()
