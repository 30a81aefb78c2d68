"""The flow `clean-corpus` as a Prefect server knows it: its parameters are the fields of RunConfig, one by one."""

import inspect
from typing import Any

from prefect import flow

from clean_corpus.flows.clean_corpus import clean_corpus as inner
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.observe import hooks
from clean_corpus.pipeline.core.config_input import validate

PLACES = ("input", "output")


def _run(**fields: Any) -> dict[str, Any]:
    """Clean every recording below input into output; returns what run.json says. A section that is given replaces the
    deployment's whole section.

    Raises: ConfigError before any work if a setting cannot work, and what clean_corpus.flows.clean_corpus raises.
    """
    return inner.fn(validate(RunConfig, {name: _plain(value) for name, value in fields.items()}))


def _plain(value: Any) -> Any:
    """What was said, without what follows from it: a default may depend on the machine that works."""
    return value.model_dump(exclude_unset=True) if hasattr(value, "model_dump") else value


def _signature() -> inspect.Signature:
    """RunConfig's own, in which a place is text: it may be a folder or s3://, and the server keeps it as it was typed.

    Prefect makes the schema of it that parameters are checked against before a run is created.
    """
    fields = inspect.signature(RunConfig).parameters.values()
    typed = [field.replace(annotation=str) if field.name in PLACES else field for field in fields]
    return inspect.Signature(sorted(typed, key=lambda field: field.name not in PLACES), return_annotation=dict)


_run.__name__ = _run.__qualname__ = "clean_corpus"
_run.__signature__ = _signature()  # type: ignore[attr-defined]

clean_corpus = flow(
    name="clean-corpus",
    task_runner=inner.task_runner,
    on_completion=[hooks.notify],
    on_failure=[hooks.notify],
    on_crashed=[hooks.notify],
    on_cancellation=[hooks.notify],
)(_run)
