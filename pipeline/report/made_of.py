"""What the report in a store was made of, by which a run knows that it need not be made anew."""

from importlib.metadata import version
from typing import Any

from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage.base import Store

NAME = "made_of.json"


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return what decides over the report of a version: its ledger, and the program that writes it."""
    return {"version": manifest.version, "ledger": manifest.ledger.sha256, "program": version("clean-corpus")}


def is_of(store: Store, made_of: dict[str, Any]) -> bool:
    """Return whether the report in a store was made of this."""
    try:
        return store.size("report/index.html") is not None and store.read(f"report/{NAME}") == canonical_json(made_of)
    except FileNotFoundError:
        return False
