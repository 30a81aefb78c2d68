"""An engine for tests of the flow: calls run in the thread that asks."""

import pytest

from clean_corpus.flows import clean_corpus as flow
from clean_corpus.flows.engines.base import WorkerDied


class Inline:
    """An engine without processes; `poison` names recordings whose reading kills the worker."""

    poison: frozenset[str] = frozenset()
    attempts = 0
    workers = slots = 1

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, function, *args, limit_s=None):
        if function.__name__ == "ingest" and {r.source for r in args[1]} & self.poison:
            Inline.attempts += 1
            raise WorkerDied("worker process died in ingest")
        return function(*args)


@pytest.fixture
def inline(monkeypatch):
    """Flows of this test have that engine."""
    monkeypatch.setattr(flow, "open_engine", Inline)
