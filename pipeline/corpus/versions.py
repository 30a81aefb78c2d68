"""Numbered versions of a corpus: each a manifest that names every tar and the ledger with their hashes.

Tars and ledgers are named by their content and stay where they are, so a version is one small object, and readers of
an old one are not disturbed. The manifest is written last, and only if no other run has written it: that is the
commit. `versions/latest` follows, for readers that may not list; the highest number counts.

Whatever two runs do at once, or one that was halted does late, a version names nothing that is gone.
docs/ARCHITECTURE.md has the rules for that, and tests/pipeline/corpus/test_protocol.py looks for ways around them.
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

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus import announcements
from clean_corpus.pipeline.storage.base import StorageError, Store

LATEST = "versions/latest"
FOLDERS = ("shards", "rejected", "ledgers", "embeddings")


class Manifest(BaseModel):
    """One version of a corpus.

    The `samples` of `ledger` are its rows, and those of `embeddings`, which only a run that embeds voices has.
    `again` is the version that a rollback went back to, `rewrites` the one that this one stands for since clips were
    forgotten; then `follow` says how many more of the same rewriting come after it, without which it does not count as
    the newest. `id` differs between two versions that were made at the same time, so that a writer knows its own.
    `fence` is the fencing number of the run that made it; manifests in a local folder, and those of older releases,
    have none.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    version: int = 0
    made: str = ""
    id: str = ""
    again: int | None = None
    rewrites: int | None = None
    follow: int = 0
    fence: int | None = None
    ledger: Shard
    shards: list[Shard]
    rejected: list[Shard]
    embeddings: Shard | None = None
    run: dict[str, Any]

    @property
    def objects(self) -> list[Shard]:
        """Every object that the version names."""
        return [self.ledger, *self.shards, *self.rejected, *filter(None, [self.embeddings])]


def numbers(store: Store) -> list[int]:
    """Return the numbers of all versions but those that were dropped, rising."""
    manifests, dropped = stored(store)
    return sorted(manifests - dropped)


def stored(store: Store) -> tuple[set[int], set[int]]:
    """Return the numbers of manifests, and of versions that were dropped.

    A dropped version's manifest stays for a while: as long as it is there, nobody can commit under its number again.
    """
    found = [re.fullmatch(r"versions/(\d+)/(manifest\.json|dropped)", key) for key in store.walk("versions")]
    kinds = [(match[2], int(match[1])) for match in found if match]
    return {n for kind, n in kinds if kind != "dropped"}, {n for kind, n in kinds if kind == "dropped"}


def read(store: Store, version: int) -> Manifest:
    """Read the manifest of a version.

    Raises: ConfigError if there is no such version; DataError if its manifest is damaged.
    """
    try:
        manifest = Manifest.model_validate_json(store.read(manifest_key(version)))
        if store.size(dropped_key(version)) is not None:
            raise FileNotFoundError
        return manifest
    except FileNotFoundError:
        known = ", ".join(map(str, numbers(store))) or "none"
        raise ConfigError(f"{store.root}: there is no version {version}; there are: {known}") from None
    except ValidationError as error:
        raise DataError(f"{store.root}: {manifest_key(version)} is no manifest: {error.errors()[0]['msg']}") from None


def latest(store: Store) -> Manifest | None:
    """Return the newest version, None if there is none; versions of a rewriting that is not over do not count."""
    return _newest(store)[1]


def _newest(store: Store) -> tuple[int, Manifest | None]:
    """Return the highest number that is taken, 0 if none is, and the newest version, of one listing."""
    found = numbers(store)
    known = [*found]
    while known:
        try:
            manifest = read(store, known[-1])
        except ConfigError:  # dropped in between, for newer ones
            if known[-1] in (found := numbers(store)):
                raise
            known = [*found]
            continue
        if not manifest.follow:
            return found[-1], manifest
        known.pop()
    return max(found, default=0), None


def manifest_key(version: int) -> str:
    return f"versions/{version:04d}/manifest.json"


def dropped_key(version: int) -> str:
    return f"versions/{version:04d}/dropped"


def publish(store: Store, draft: Manifest) -> Manifest:
    """Commit a draft as the next version; return the newest one instead if it holds the same objects.

    Raises: ConfigError if another run published at the same time; StorageError if another run has taken over, or an
    object that the draft names is gone, cut, or being deleted.
    """
    start_s, (base, newest) = clock.now_s(), _newest(store)
    store.fence()
    if newest and newest.objects == draft.objects and draft.again is None and draft.rewrites is None:
        _point_to(store, newest.version)  # where a run died in between
        return newest
    announcement = announcements.announce_commit(store, base, {named.key for named in draft.objects})
    try:
        _refuse_lost(store, draft.objects)
        update = {"version": base + 1, "made": _now(), "id": uuid.uuid4().hex, "fence": store.fence()}
        if clock.now_s() - start_s > store.lateness_s / 2:
            raise StorageError(f"output {store.root}: this run was halted while it published; run again")
    except CleanCorpusError:
        announcements.withdraw(store, announcement)
        raise
    manifest = draft.model_copy(update=update)
    # After an error here the announcement stays: the request may still take effect.
    is_committed = store.create(manifest_key(base + 1), canonical_json(manifest.model_dump(mode="json")))
    announcements.withdraw(store, announcement)
    if not is_committed:
        raise ConfigError(
            f"output {store.root}: another run published version {base + 1} while this one was at work; its version "
            "stands, run again to lay this one's over it"
        )
    if not manifest.follow:
        _point_to(store, manifest.version)
    return manifest


def _refuse_lost(store: Store, objects: Sequence[Shard]) -> None:
    """Refuse a version, announced before, of which something is gone, cut, or may be deleted.

    Raises: StorageError.
    """
    deleted = announcements.announced_deletions(store)
    folders = {named.key.rpartition("/")[0] for named in objects}
    sizes = {key: size for folder in folders for key, size in store.sizes(folder)}
    for named in objects:
        if named.key in deleted:
            raise StorageError(
                f"output {store.root}: {named.key} is being deleted by another run, or by one that died; run again "
                f"when that has ended, at the latest in {store.lateness_s / 3600:.0f} h"
            )
        if sizes.get(named.key) != named.size:
            raise StorageError(
                f"output {store.root}: {named.key} has {sizes.get(named.key, 0)} bytes, {named.size} were written; run "
                "the same command again: finished work is kept"
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _point_to(store: Store, version: int) -> None:
    """Have `versions/latest` name a version, or the newest if another run has published since."""
    while True:
        wanted = canonical_json({"version": version, "manifest": manifest_key(version)})
        try:
            if store.read(LATEST) == wanted:
                return
        except FileNotFoundError:
            pass
        store.write(LATEST, wanted)
        if newest := latest(store):
            version = newest.version


def rollback(store: Store, version: int) -> Manifest:
    """Commit an old version as the newest, and put its ledger in place; nothing is deleted.

    Report and run.json are still those of the version before, and the caller's to write.

    Raises: ConfigError if there is no such version or it is the newest; DataError if something of it is gone.
    """
    old, newest = read(store, version), latest(store)
    if newest and newest.version == version:
        raise ConfigError(f"{store.root}: version {version} is the newest already")
    for named in old.objects:
        if store.size(named.key) != named.size:
            raise DataError(f"{store.root}: {named.key} of version {version} is gone or cut; it cannot come back")
    manifest = publish(store, old.model_copy(update={"again": version, "rewrites": None, "follow": 0}))
    put_ledger(store, manifest)
    return manifest


def put_ledger(store: Store, manifest: Manifest) -> None:
    """Put a version's ledger where the newest one's lies."""
    with store.opened(manifest.ledger.key) as file:
        store.copy(file, "ledger.parquet")


# ---- looking at versions ---------------------------------------------------------------------------------------


def ledger_of(store: Store, manifest: Manifest, columns: Sequence[str]) -> pa.Table:
    """Read some columns of a version's ledger.

    Columns that the release that wrote it did not know yet are null.
    Raises: DataError if it is not what was written.
    """
    try:
        with store.opened(manifest.ledger.key) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != manifest.ledger.sha256:
                raise DataError(f"{store.root}: {manifest.ledger.key} of version {manifest.version} has other bytes")
            parquet = pq.ParquetFile(file)
            table = parquet.read([name for name in columns if name in parquet.schema_arrow.names])
            for name in columns:
                if name not in table.column_names:
                    table = table.append_column(name, pa.nulls(len(table), pa.string()))
            return table
    except FileNotFoundError:
        raise DataError(f"{store.root}: {manifest.ledger.key} of version {manifest.version} is gone") from None


@dataclass(frozen=True)
class Difference:
    """Clips that are new, gone, or changed: the name, the end before and after, and what else is other."""

    added: list[str]
    removed: list[str]
    changed: list[tuple[str, str, str, str]]


_ENDED = ("clip_id", "verdict", "reason", "chosen", "reviewed", "reviewed_by", "reviewed_at")
_MADE = ("source_sha256", "gain_db")
_CUT = ("offset_s", "duration_s", "removed_s", "channel", "input_gain_db")
_ENHANCED = ("enhancer", "weights_sha256")
_TOLD = ("text", "speaker", "licence", "consent")
_ENDS = f"""
    SELECT clip_id, verdict || coalesce(' ' || reason, '') || coalesce(' ' || chosen, '')
           || coalesce(' (' || reviewed || ' by ' || reviewed_by || ')', '') AS ended,
           {", ".join((*_MADE, *_CUT, *_TOLD, "language", "reviewed_at"))},
           CASE WHEN verdict <> 'failed' THEN rate END AS rate,
           CASE WHEN chosen = 'enhanced' THEN coalesce(weights_sha256, enhancer) END AS weights,
           CASE WHEN chosen = 'enhanced' THEN upper_band END AS upper_band FROM {{}}
"""
_AUDIO = " OR ".join(  # <> where null may be of a release that did not know it yet
    [f"a.{name} IS DISTINCT FROM b.{name}" for name in _MADE]
    + [f"a.{name} <> b.{name}" for name in (*_CUT, "rate", "weights", "upper_band")]
)
_OTHER = {
    "audio": _AUDIO,
    **{name: f"a.{name} IS DISTINCT FROM b.{name}" for name in _TOLD},
    "language": "a.language <> b.language",
    "review": "a.reviewed_at IS DISTINCT FROM b.reviewed_at",
}
_OTHERS = ", ".join(f"CASE WHEN {condition} THEN '{name}' END" for name, condition in _OTHER.items())


def _made_of(store: Store, manifest: Manifest) -> pa.Table:
    """Return the columns of a version's ledger by which its clips are compared, with what only its run.json says.

    Raises: DataError if the ledger is not what was written.
    """
    columns = (*_ENDED, *_MADE, *_CUT, *_ENHANCED, *_TOLD, "language")
    table, run = ledger_of(store, manifest, columns), manifest.run
    rate = run.get("config", {}).get("audio", {}).get("sample_rate")
    upper = (run.get("upper_band_sha256") or run["upper_band"] or "none") if "upper_band" in run else None
    for name, value in (("rate", pa.scalar(rate, pa.int64())), ("upper_band", pa.scalar(upper, pa.string()))):
        table = table.append_column(name, pa.repeat(value, len(table)))
    return table


def difference(store: Store, earlier: Manifest, later: Manifest) -> Difference:
    """Compare two versions by their ledgers.

    These have no hash of a clip's samples, but what decides over them: the recording, the cut, the gains to a
    thousandth of a dB, the rate, and the networks where the enhanced version was chosen.

    Raises: DataError if a ledger is not what was written.
    """
    with duckdb.connect() as connection:
        connection.register("earlier", _made_of(store, earlier))
        connection.register("later", _made_of(store, later))
        rows = connection.sql(
            f"""SELECT * FROM (
                    SELECT coalesce(a.clip_id, b.clip_id) AS clip, a.clip_id IS NULL AS is_new,
                           b.clip_id IS NULL AS is_gone, a.ended AS before, b.ended AS after,
                           concat_ws(', ', {_OTHERS}) AS other
                    FROM ({_ENDS.format("earlier")}) a FULL JOIN ({_ENDS.format("later")}) b USING (clip_id)
                ) WHERE is_new OR is_gone OR before <> after OR other <> '' ORDER BY clip"""
        ).fetchall()
    return Difference(
        [clip for clip, is_new, *_ in rows if is_new],
        [clip for clip, _, is_gone, *_ in rows if is_gone],
        [(clip, *words) for clip, is_new, is_gone, *words in rows if not is_new and not is_gone],
    )


def verify(store: Store, manifests: Sequence[Manifest]) -> Iterator[tuple[str, str | None]]:
    """Yield (key, what is wrong or None) for all objects of some versions, then for counts that do not add up."""
    for named in sorted({named for manifest in manifests for named in manifest.objects}, key=lambda n: n.key):
        yield named.key, _wrong(store, named)
    for manifest in manifests:
        counts, key = manifest.run["counts"], manifest_key(manifest.version)
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
