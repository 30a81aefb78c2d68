"""State of a run between two stages: its shards and clips, in a scratch database."""

import pickle
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.corpus.ledger import Row

_TABLES = """
    CREATE TABLE raw_shard (
        number INTEGER PRIMARY KEY, group_number INTEGER, source TEXT, name TEXT, wanted_s REAL, body BLOB
    );
    CREATE INDEX raw_shard_order ON raw_shard (group_number, source, name);
    CREATE INDEX raw_shard_length ON raw_shard (wanted_s DESC, group_number, source, name);
    CREATE TABLE enhanced_shard (number INTEGER PRIMARY KEY, body BLOB);
    CREATE TABLE row (source TEXT, offset_s REAL, clip_id TEXT, raw INTEGER, enhanced INTEGER, body BLOB);
    CREATE TABLE judged (id INTEGER PRIMARY KEY, raw INTEGER, body BLOB);
    CREATE INDEX row_order ON row (source, offset_s, clip_id);
"""


class RunState:
    """Hold raw shards in the order of their groups, and rows in the order of the ledger, on disk instead of in memory.

    Bodies are pickled, which is safe here: the database has no name, and no other process can write to it.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)

    # ---- shards

    def add_raw_shards(self, group_number: int, raw_shards: Iterable[RawShard]) -> None:
        """Add the raw shards of one group of recordings; groups may come in any order."""
        self._database.executemany(
            "INSERT INTO raw_shard (group_number, source, name, wanted_s, body) VALUES (?, ?, ?, ?, ?)",
            (
                (group_number, raw.clips[0].source, raw.shard.key, _wanted_s(raw), pickle.dumps(raw))
                for raw in raw_shards
            ),
        )

    def raw_shards(self) -> Iterator[tuple[int, RawShard]]:
        """Yield each raw shard with its number, by group, and within a group by the source of its first clip."""
        return self._ordered("group_number, source, name")

    def longest_first(self) -> Iterator[tuple[int, RawShard]]:
        """Yield each raw shard with its number, most audio to work on first: workers end nearly together."""
        return self._ordered("wanted_s DESC, group_number, source, name")

    def _ordered(self, columns: str) -> Iterator[tuple[int, RawShard]]:
        for number, body in self._database.execute(f"SELECT number, body FROM raw_shard ORDER BY {columns}"):
            yield number, pickle.loads(body)

    @property
    def n_raw_shards(self) -> int:
        """The number of raw shards."""
        (count,) = self._database.execute("SELECT count(*) FROM raw_shard").fetchone()
        return count

    # ---- judged shards

    def add_judged(self, number: int, judged: Any) -> None:
        """Add a raw shard, or a part of one, as it was judged and before it is published."""
        self._database.execute("INSERT INTO judged VALUES (NULL, ?, ?)", (number, pickle.dumps(judged)))

    def judged(self) -> Iterator[tuple[int, Any]]:
        """Yield each judged shard with the number of its raw shard, in the order of raw shards."""
        for number, body in self._database.execute("SELECT raw, body FROM judged ORDER BY raw, id"):
            yield number, pickle.loads(body)

    @property
    def n_judged(self) -> int:
        """The number of judged shards."""
        (count,) = self._database.execute("SELECT count(*) FROM judged").fetchone()
        return count

    # ---- rows

    def add_rows(self, number: int | None, rows: Iterable[Row], enhanced: Shard | None = None) -> None:
        """Add the rows of clips that lie in a raw shard, or in none, with the shard of their enhanced versions."""
        twin = None
        if enhanced:
            statement = "INSERT INTO enhanced_shard (body) VALUES (?)"
            twin = self._database.execute(statement, (pickle.dumps(enhanced),)).lastrowid
        self._database.executemany(
            "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?)",
            ((r.clip.source, r.clip.offset_s, r.clip.clip_id, number, twin, pickle.dumps(r)) for r in rows),
        )

    def rows(self) -> Iterator[Row]:
        """Yield the rows by source, offset and clip id."""
        for (body,) in self._database.execute("SELECT body FROM row ORDER BY source, offset_s, clip_id"):
            yield pickle.loads(body)

    def repeated_clip_ids(self) -> Sequence[str]:
        """Return the first few clip ids that more than one row has: there should be none."""
        found = self._database.execute("SELECT clip_id FROM row GROUP BY clip_id HAVING count(*) > 1 LIMIT 3")
        return [clip_id for (clip_id,) in found]

    def clip_shards(self, clip_ids: Collection[str]) -> dict[str, tuple[Shard, Shard | None]]:
        """Return the raw shard, and the enhanced one if there is one, in which each of some clips lies."""
        marks = ", ".join("?" * len(clip_ids))
        found = self._database.execute(
            "SELECT row.clip_id, raw_shard.body, enhanced_shard.body FROM row "
            "JOIN raw_shard ON raw_shard.number = row.raw "
            f"LEFT JOIN enhanced_shard ON enhanced_shard.number = row.enhanced WHERE row.clip_id IN ({marks})",
            list(clip_ids),
        )
        return {
            clip_id: (pickle.loads(body).shard, pickle.loads(enhanced) if enhanced else None)
            for clip_id, body, enhanced in found
        }


def _wanted_s(raw: RawShard) -> float:
    """Return the seconds of audio to work on."""
    return sum(clip.duration_s for clip in raw.wanted)
