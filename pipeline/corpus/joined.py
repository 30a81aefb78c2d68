"""Tars joined of those of several small groups, and the results of stages over them, put together from their parts'.

Who was ingested and scored in a small group is so in the joined one: clips are copied as the bytes that they are, and
a stage that lacks a result of the joined tar asks for those of the parts, which are recorded.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from clean_corpus.pipeline.core.records import Outcome, Part, Parts, RawShard, Shard
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.stage_cache import find, record
from clean_corpus.pipeline.storage.base import Store

Result = TypeVar("Result")

FOLDER = "work/joined/"
"""Where joined tars lie: of others nobody has to ask for parts."""


def join_tars(store: Store, name: str, parts: Sequence[Part]) -> Shard | None:
    """Write a tar with the clips of several, and record its parts; None and no tar if there are no clips.

    Raises: DataError if a part is gone or has other bytes than it was written with.
    """
    samples = ({"__key__": name, "flac": data} for part in parts for name, data in shards.read_flac(store, part.shard))
    shard = shards.write_shard(store, f"{FOLDER}{name}.tar", samples)
    if shard is not None:
        record(store, "parts", shard.sha256, Parts, Parts(list(parts)))
    return shard


def parts_of(store: Store, shard: Shard) -> list[Part]:
    """Return the tars of which one was joined; none if it was not, or one of them is gone."""
    found = find(store, "parts", shard.sha256, Parts) if shard.key.startswith(FOLDER) else None
    return found.parts if found else []


def raw_parts(store: Store, raw: RawShard) -> list[RawShard]:
    """Return the raw shards of which one was joined, with the clips as they are marked in it."""
    clips = {clip.clip_id: clip for clip in raw.clips}
    return [
        RawShard(part.shard, [clips[i] for i in part.clip_ids if i in clips], []) for part in parts_of(store, raw.shard)
    ]


def enhanced_part(store: Store, enhanced: Shard | None, part: RawShard) -> Shard | None:
    """Return the tar of the enhanced clips of one part of a joined raw shard."""
    held = {clip.clip_id for clip in part.clips}
    found = parts_of(store, enhanced) if enhanced else []
    return next((other.shard for other in found if not held.isdisjoint(other.clip_ids)), None)


def join(
    parts: Sequence[RawShard], stage: Callable[[RawShard], Outcome[Result]], put: Callable[[list[Result]], Result]
) -> tuple[Result, bool] | None:
    """Return the results of a stage over all parts put together, and whether all were there; None without parts."""
    outcomes = [stage(part) for part in parts]
    if not outcomes:
        return None
    return put([outcome.result for outcome in outcomes]), all(outcome.reused for outcome in outcomes)


def merged(tables: Sequence[dict[str, Result]]) -> dict[str, Result]:
    """Return several tables of clips as one."""
    return {clip_id: value for table in tables for clip_id, value in table.items()}
