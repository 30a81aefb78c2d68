"""What a run remembers of its shards and clips from stage to stage, in a spill."""

import pickle
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence

from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.corpus.ledger import Row

_TABLES = """
    CREATE TABLE raw_shard (number INTEGER PRIMARY KEY, place INTEGER, source TEXT, name TEXT, body BLOB);
    CREATE INDEX raw_shard_order ON raw_shard (place, source, name);
    CREATE TABLE raw_twin (number INTEGER PRIMARY KEY, body BLOB);
    CREATE TABLE row (source TEXT, offset_s REAL, clip_id TEXT, raw INTEGER, body BLOB);
    CREATE INDEX row_order ON row (source, offset_s, clip_id);
"""


class RunState:
    """Raw shards in the order of their groups, and rows of the ledger in the order of the ledger.

    Bodies are pickled: the database is this process's own and has no name.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)

    # ---- raw shards

    def put_raws(self, place: int, raws: Iterable[RawShard]) -> None:
        """The shards of the group at this place."""
        self._database.executemany(
            "INSERT INTO raw_shard (place, source, name, body) VALUES (?, ?, ?, ?)",
            ((place, raw.clips[0].source, raw.shard.key, pickle.dumps(raw)) for raw in raws),
        )

    def raws(self) -> Iterator[tuple[int, RawShard]]:
        """Each with its number, by place, and within one by the source of its first clip."""
        rows = self._database.execute("SELECT number, body FROM raw_shard ORDER BY place, source, name")
        for number, body in rows:
            yield number, pickle.loads(body)

    @property
    def n_raws(self) -> int:
        """How many raw shards there are."""
        (count,) = self._database.execute("SELECT count(*) FROM raw_shard").fetchone()
        return count

    def put_twin(self, number: int, enhanced: Shard | None) -> None:
        """The enhanced twin of a raw shard."""
        self._database.execute("INSERT INTO raw_twin VALUES (?, ?)", (number, pickle.dumps(enhanced)))

    # ---- rows

    def put_rows(self, number: int | None, rows: Iterable[Row]) -> None:
        """Rows of the clips of a raw shard, or of none."""
        self._database.executemany(
            "INSERT INTO row VALUES (?, ?, ?, ?, ?)",
            ((r.clip.source, r.clip.offset_s, r.clip.clip_id, number, pickle.dumps(r)) for r in rows),
        )

    def rows(self) -> Iterator[Row]:
        """By source, offset and id."""
        for (body,) in self._database.execute("SELECT body FROM row ORDER BY source, offset_s, clip_id"):
            yield pickle.loads(body)

    def repeated(self) -> Sequence[str]:
        """The first clip ids that more than one row has."""
        found = self._database.execute("SELECT clip_id FROM row GROUP BY clip_id HAVING count(*) > 1 LIMIT 3")
        return [clip_id for (clip_id,) in found]

    def homes(self, clip_ids: Collection[str]) -> dict[str, tuple[Shard, Shard | None]]:
        """In which raw shard some clips lie, and in which enhanced one."""
        marks = ", ".join("?" * len(clip_ids))
        found = self._database.execute(
            "SELECT row.clip_id, raw_shard.body, raw_twin.body FROM row JOIN raw_shard ON raw_shard.number = row.raw "
            f"LEFT JOIN raw_twin ON raw_twin.number = row.raw WHERE row.clip_id IN ({marks})",
            list(clip_ids),
        )
        return {
            clip_id: (pickle.loads(body).shard, pickle.loads(enhanced) if enhanced else None)
            for clip_id, body, enhanced in found
        }
