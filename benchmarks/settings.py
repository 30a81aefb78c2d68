"""The README's table of settings, from the configuration itself.

usage: python benchmarks/settings.py
"""

from pydantic import BaseModel
from readme import put, table

from clean_corpus.flows.config import RunConfig


def rows(model: type[BaseModel], prefix: str = "") -> list[list[object]]:
    result: list[list[object]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            result += rows(field.annotation, f"{name}.")
        elif prefix or not field.is_required():
            default = "one per core" if field.default_factory else {None: "null"}.get(field.default, field.default)
            result.append([f"`{prefix}{name}`", default, field.description])
    return result


put("settings", table(["key", "default", "meaning"], rows(RunConfig)))
