"""A corpus as numbered versions: a manifest each, which names every tar and the ledger with their hashes.

Tars and ledgers are named by their content and stay where they are, so a version is one small object, and whoever
reads an old one goes on reading. The manifest is put last, and only if no other run has put it: that is the commit.
`versions/latest` follows, for readers that may not list; the highest number is the truth.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.storage.base import Store

LATEST = "versions/latest"
FOLDERS = ("shards", "rejected", "ledgers")


class Manifest(BaseModel):
    """One version. Of `ledger`, samples are rows; `again` is the version that a rollback went back to; of two that are
    made at once `id` tells which was put.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: int = 0
    made: str = ""
    id: str = ""
    again: int | None = None
    ledger: Shard
    shards: list[Shard]
    rejected: list[Shard]
    run: dict[str, Any]

    @property
    def objects(self) -> list[Shard]:
        """Everything that it names."""
        return [self.ledger, *self.shards, *self.rejected]


def numbers(store: Store) -> list[int]:
    """Versions that are there, rising."""
    found = (re.fullmatch(r"versions/(\d+)/manifest\.json", key) for key in store.walk("versions"))
    return sorted(int(match[1]) for match in found if match)


def read(store: Store, version: int) -> Manifest:
    """A version's manifest.

    Raises: ConfigError if there is no such version; DataError if its manifest is damaged.
    """
    try:
        return Manifest.model_validate_json(store.read(_key(version)))
    except FileNotFoundError:
        known = ", ".join(map(str, numbers(store))) or "none"
        raise ConfigError(f"{store.root}: there is no version {version}; there are: {known}") from None
    except ValidationError as error:
        raise DataError(f"{store.root}: {_key(version)} is no manifest: {error.errors()[0]['msg']}") from None


def latest(store: Store) -> Manifest | None:
    """The newest version, None if there is none."""
    there = numbers(store)
    return read(store, there[-1]) if there else None


def _key(version: int) -> str:
    return f"versions/{version:04d}/manifest.json"


def publish(store: Store, draft: Manifest) -> Manifest:
    """The draft as the next version; the newest one, if that holds the very same.

    Raises: ConfigError if another run published at the same time.
    """
    newest = latest(store)
    if newest and newest.objects == draft.objects and draft.again is None:
        _point_to(store, newest.version)  # where a run died in between
        return newest
    version = newest.version + 1 if newest else 1
    made = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = draft.model_copy(update={"version": version, "made": made, "id": uuid.uuid4().hex})
    if not store.create(_key(version), canonical_json(manifest.model_dump(mode="json"))):
        raise ConfigError(
            f"output {store.root}: another run published version {version} while this one was at work; its version "
            "stands, run again to lay this one's over it"
        )
    _point_to(store, version)
    return manifest


def _point_to(store: Store, version: int) -> None:
    wanted = canonical_json({"version": version, "manifest": _key(version)})
    try:
        if store.read(LATEST) == wanted:
            return
    except FileNotFoundError:
        pass
    store.write(LATEST, wanted)


def rollback(store: Store, version: int) -> Manifest:
    """An old version as the newest, and its ledger in its place; nothing is taken away.

    Raises: ConfigError if there is no such version or it is the newest; DataError if something of it is gone.
    """
    old, newest = read(store, version), latest(store)
    if newest and newest.version == version:
        raise ConfigError(f"{store.root}: version {version} is the newest already")
    for named in old.objects:
        if store.size(named.key) != named.size:
            raise DataError(f"{store.root}: {named.key} of version {version} is gone or cut; it cannot come back")
    manifest = publish(store, old.model_copy(update={"again": version}))
    with store.opened(old.ledger.key) as file:
        store.copy(file, "ledger.parquet")
    return manifest


# ---- looking at versions ---------------------------------------------------------------------------------------


def ledger_of(store: Store, manifest: Manifest, columns: Sequence[str]) -> pa.Table:
    """Some columns of the ledger of a version.

    Raises: DataError if it is not what was written.
    """
    try:
        with store.opened(manifest.ledger.key) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != manifest.ledger.sha256:
                raise DataError(f"{store.root}: {manifest.ledger.key} of version {manifest.version} has other bytes")
            return pq.ParquetFile(file).read([*columns])
    except FileNotFoundError:
        raise DataError(f"{store.root}: {manifest.ledger.key} of version {manifest.version} is gone") from None


@dataclass(frozen=True)
class Difference:
    """Clips of the later version alone, of the earlier one alone, and with another end or another audio."""

    added: list[str]
    removed: list[str]
    changed: list[tuple[str, str, str]]


_COMPARED = ("clip_id", "verdict", "reason", "chosen", "source_sha256", "gain_db")
_ENDS = """
    SELECT clip_id, verdict || coalesce(' ' || reason, '') || coalesce(' ' || chosen, '') AS ended,
           source_sha256, gain_db FROM {}
"""


def difference(store: Store, earlier: Manifest, later: Manifest) -> Difference:
    """What changed from one version to another, by their ledgers.

    Raises: DataError if a ledger is not what was written.
    """
    with duckdb.connect() as connection:
        connection.register("earlier", ledger_of(store, earlier, _COMPARED))
        connection.register("later", ledger_of(store, later, _COMPARED))
        rows = connection.sql(
            f"""SELECT coalesce(a.clip_id, b.clip_id) AS clip, a.clip_id IS NULL, b.clip_id IS NULL, a.ended, b.ended
                FROM ({_ENDS.format("earlier")}) a FULL JOIN ({_ENDS.format("later")}) b USING (clip_id)
                WHERE a.clip_id IS NULL OR b.clip_id IS NULL OR a.ended <> b.ended
                   OR a.source_sha256 IS DISTINCT FROM b.source_sha256 OR a.gain_db IS DISTINCT FROM b.gain_db
                ORDER BY clip"""
        ).fetchall()
    return Difference(
        [clip for clip, new, _, _, _ in rows if new],
        [clip for clip, _, gone, _, _ in rows if gone],
        [(clip, before, after) for clip, new, gone, before, after in rows if not new and not gone],
    )


def verify(store: Store, manifests: Sequence[Manifest]) -> Iterator[tuple[str, str | None]]:
    """Every object that some versions name, hashed once, and what is wrong with it; then what does not add up."""
    for named in sorted({named for manifest in manifests for named in manifest.objects}, key=lambda n: n.key):
        yield named.key, _wrong(store, named)
    for manifest in manifests:
        counts, key = manifest.run["counts"], _key(manifest.version)
        held = sum(shard.samples for shard in manifest.shards)
        if held != counts["kept"]:
            yield key, f"says that {counts['kept']} clips are kept, its tars hold {held}"
        if manifest.ledger.samples != counts["in"]:
            yield key, f"says that {counts['in']} clips came in, its ledger has {manifest.ledger.samples} rows"


def _wrong(store: Store, named: Shard) -> str | None:
    try:
        with store.opened(named.key) as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except FileNotFoundError:
        return "is gone"
    if size != named.size:
        return f"has {size} bytes, {named.size} were written"
    return None if digest == named.sha256 else f"has sha256 {digest[:12]}, {named.sha256[:12]} was written"


def gc(store: Store, keep: int) -> Iterator[str]:
    """Drop all but the newest versions, and what no other names; each key as it goes.

    Raises: ConfigError if none would be left.
    """
    if keep < 1:
        raise ConfigError(f"keep {keep} versions: at least 1 has to stay")
    there = numbers(store)
    kept = {named.key for version in there[-keep:] for named in read(store, version).objects}
    for version in there[:-keep]:
        store.delete(_key(version))  # first, so that no manifest names what is gone
        yield _key(version)
    for folder in FOLDERS if there else ():
        for key in list(store.keys(folder)):
            if key not in kept:
                store.delete(key)
                yield key


def empty_work(store: Store) -> Iterator[str]:
    """Drop what runs have kept to redo nothing; each key as it goes."""
    for key in list(store.walk("work")):
        if not key.startswith(("work/lease/", "work/tmp/", "work/.lock")):
            store.delete(key)
            yield key
