"""What an error of a command becomes at its end, in the process itself."""

import gc
import weakref

import pytest

from clean_corpus.flows.cli import app
from clean_corpus.pipeline.core.errors import ConfigError, DataError


class Library:
    """An object of a library that complains at the end of the process of what nobody freed, as DuckDB's does."""


@pytest.mark.parametrize(("error", "code"), [(ConfigError, 2), (DataError, 1), (MemoryError, 1)])
def test_an_error_that_somebody_keeps_holds_nothing_of_what_failed(monkeypatch, error, code):
    kept, made = [], []

    def fails() -> None:
        held = Library()
        made.append(weakref.ref(held))
        raise error("words")

    def command() -> None:
        try:
            fails()
        except Exception as cause:  # as an engine keeps the end of a flow run
            kept.append(cause)
            raise

    monkeypatch.setattr(app, "app", command)
    with pytest.raises(SystemExit) as ended:
        app.main()
    gc.collect()
    assert ended.value.code == code and kept and made[0]() is None
