"""Calls in worker processes: each item's result, workers that die, other errors, progress."""

import io
import os
import signal

import pytest
from rich.console import Console

from clean_corpus.flows.commands import parallel
from clean_corpus.flows.engines.base import WorkerDied
from tests.support.inline import Inline

QUIET = Console(quiet=True)


class Failing(Inline):
    """An engine whose worker dies in the calls for one item."""

    def run(self, function, item, *args):
        if item == "bad":
            raise WorkerDied("worker process died")
        return super().run(function, item, *args)


def test_every_item_has_its_result_and_progress_counts_them(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    file = io.StringIO()
    results = parallel.call_in_workers("add", [1, 2, 3], "numbers", 2, Console(file=file), int.__add__, 10)
    assert sorted(results) == [(1, 11), (2, 12), (3, 13)]
    assert file.getvalue().splitlines() == [f"add: {i}/3 numbers" for i in (1, 2, 3)]


def test_no_items_need_no_calls(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    assert list(parallel.call_in_workers("x", [], "items", 2, QUIET, divmod, 0)) == []


def test_a_worker_that_dies_is_the_result_of_its_item_alone(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    results = dict(parallel.call_in_workers("x", ["a", "bad", "b"], "items", 2, QUIET, str.__add__, "!"))
    assert (results["a"], results["b"]) == ("a!", "b!") and isinstance(results["bad"], WorkerDied)


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_reported():
    ((item, result),) = parallel.call_in_workers("x", ["a"], "items", 1, QUIET, die)
    assert item == "a" and isinstance(result, WorkerDied)


def test_other_errors_end_the_command(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    with pytest.raises(ZeroDivisionError):
        list(parallel.call_in_workers("x", [1], "items", 1, QUIET, divmod, 0))
