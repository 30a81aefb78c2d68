"""Write the table of settings from the configuration itself.

usage: python benchmarks/settings_table.py     writes the section `settings` of the documents
"""

import argparse

from documents import table, write_section
from pydantic import BaseModel

from clean_corpus.flows.config import RunConfig


def rows(model: type[BaseModel], prefix: str = "") -> list[list[object]]:
    """Return key, default and meaning of every setting, those of sections under their prefix."""
    result: list[list[object]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            result += rows(field.annotation, f"{name}.")
        elif prefix or not field.is_required():
            default = "one per core" if field.default_factory else {None: "null"}.get(field.default, field.default)
            meaning = (field.description or "").replace("|", r"\|")  # which would end a cell
            result.append([f"`{prefix}{name}`", default, meaning])
    return result


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_section("settings", table(["key", "default", "meaning"], rows(RunConfig)))


if __name__ == "__main__":
    main()
