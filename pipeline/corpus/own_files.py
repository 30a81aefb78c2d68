"""What in an OUTPUT is its corpus' own, told from files that others put there, which no run may take or replace."""

import json
import re
from collections.abc import Iterator
from itertools import chain

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location, is_within
from clean_corpus.pipeline.corpus import decisions, forgotten, versions
from clean_corpus.pipeline.discover import groups
from clean_corpus.pipeline.storage.base import StorageError, Store

EXPORTS = "export"
OWN_FOLDERS = (
    *versions.FOLDERS, "versions", "report", "variants", decisions.FOLDER, forgotten.FOLDER, "fence", "work", EXPORTS
)  # fmt: skip
_NAMED_BY_CONTENT = re.compile(
    r"(?:shards|rejected|variants/\w+)/[0-9a-f]{24}\.tar|(?:ledgers|embeddings)/[0-9a-f]{24}\.parquet"
)
_OF_VERSIONS = re.compile(r"versions/(?:latest|\d+/(?:manifest\.json|dropped))")
_TRACES = ("work/.lock", "work/lease/", groups.KEY)
"""Below work/, what a run begins with: where one of these lies, a run of ours was at work."""
_OF_A_VERSION = ("ledger.parquet", "run.json")


def own_folder(where: Location, output: Location) -> str | None:
    """Return which of an output's own folders a location is, or lies in; None if it does in none."""
    return next((folder for folder in OWN_FOLDERS if is_within(where, output / folder)), None)


def is_named_by_content(key: str) -> bool:
    """Return whether a key is such as a run gives to tars, ledgers and embeddings: a file of others has another.

    >>> is_named_by_content(f"shards/{'0a' * 12}.tar"), is_named_by_content("shards/train-000.tar")
    (True, False)
    """
    return _NAMED_BY_CONTENT.fullmatch(key) is not None


def refuse_foreign(store: Store) -> None:
    """Refuse an output without a version in whose own folders something lies that no run wrote.

    Hidden files are left out. Where a version is, what others put beside it is their affair: it stays as it is.
    Raises: ConfigError that names the first such file, or if the output cannot be listed.
    """
    try:
        found = None if any(versions.stored(store)) else next(_foreign(store), None)
    except StorageError as error:
        raise ConfigError(f"{error}") from None
    if found:
        raise ConfigError(
            f"output {store.root}: holds {found}, which no run wrote, where a run keeps its own files; choose an empty "
            "folder or a new one, or move what is yours"
        )


def _foreign(store: Store) -> Iterator[str]:
    """Yield the keys in an output without a version that no run can have left there when it was killed."""
    tars = chain(*map(store.walk, (*versions.FOLDERS, "variants")))
    own = [key for key in store.walk("work") if key.startswith(_TRACES)] or next(store.walk("fence"), None)
    of_versions = () if _is_run(store) else (
        *store.walk("report"), *(key for key in _OF_A_VERSION if store.size(key) is not None)
    )  # fmt: skip
    yield from (key for key in tars if not (is_named_by_content(key) or is_no_file(key)))
    yield from (key for key in store.walk("versions") if not (_OF_VERSIONS.fullmatch(key) or is_no_file(key)))
    yield from (key for key in of_versions if not is_no_file(key))
    yield from (key for key in store.walk("work") if not (own or is_no_file(key)))


def is_no_file(key: str) -> bool:
    """Return whether a key does not count: it is hidden, or stands for a folder, which consoles of buckets make."""
    return key.endswith("/") or any(part.startswith(".") for part in key.split("/"))


def _is_run(store: Store) -> bool:
    """Return whether a run of a release without versions, or whose versions were removed, wrote run.json."""
    try:
        return {"enhancer", "config", "counts"} <= set(json.loads(store.read("run.json")))
    except (FileNotFoundError, ValueError, TypeError):
        return False
