"""Commands and flows without a Prefect server."""

from contextlib import nullcontext

import pytest

from clean_corpus.flows import local_server


@pytest.fixture
def without_server(monkeypatch):
    """A command in this process starts no server; its flow has to be called as a function."""
    monkeypatch.setattr(local_server, "server", lambda prepare=lambda: None: nullcontext(prepare()))
    monkeypatch.setattr(local_server, "configure", lambda: None)
