"""A look at the voices of a whole run: which clips are not their speaker's, and who speaks where nothing says so.

Voices lie in the scratch database, and few of them are in memory at a time.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.config import SpeakersConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Decision, Verdict
from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality import speakers, voice

AUTO_DIGITS = 12
HEARD = 2000  # clips of a speaker, those whose names have the smallest hashes, from which its centre is taken
VERSION = 1  # raise it when the same voices get other names of speakers

_TABLES = """
    CREATE TABLE voice (
        clip_id TEXT, digest TEXT, source TEXT, speaker TEXT, version TEXT, kept INTEGER, body BLOB,
        voice_match REAL, match_limit REAL, speaker_auto TEXT
    );
    CREATE UNIQUE INDEX voice_clip ON voice (clip_id);
    CREATE INDEX voice_speaker ON voice (speaker, digest);
"""


class SpeakerLook:
    """Collect the voices of a run, settle whose they are, and say so of each clip."""

    def __init__(self, database: sqlite3.Connection, config: SpeakersConfig) -> None:
        self._database, self._config = database, config
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)

    @property
    def facts(self) -> dict[str, object]:
        """What decides the voices and the names that clips get by them."""
        return {"ruler": voice.ruler(), "group_min": self._config.group_min, "version": VERSION}

    def add(self, rows: Iterable[Row], embeddings: Mapping[str, str]) -> None:
        """Add the clips of some rows that have an embedding."""
        self._database.executemany(
            "INSERT INTO voice VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
            (
                (
                    clip_id := row.clip.clip_id,
                    hashlib.sha256(clip_id.encode()).hexdigest(),
                    row.clip.source,
                    row.clip.metadata.speaker,
                    row.decision.chosen or "raw",
                    row.decision.verdict is Verdict.KEPT,
                    voice.to_bytes(voice.from_text(embeddings[clip_id])),
                )
                for row in rows
                if row.clip.clip_id in embeddings
            ),
        )

    def settle(self, known: Iterable[Embedding]) -> None:
        """Hold each clip against its speaker, and name the speakers of the others.

        `known` holds the clips of the version before, if the same `facts` decided it: a clip whose voice has not
        changed keeps the name it got there.
        """
        self._match()
        if self._config.group_min is not None:
            self._name(known, speakers.Groups(self._config.group_min))

    def settled(self, row: Row) -> Row:
        """Return a row with what was settled of its clip; an outlier that would be kept is rejected."""
        found = self._database.execute(
            "SELECT voice_match, match_limit, speaker_auto FROM voice WHERE clip_id = ?", (row.clip.clip_id,)
        ).fetchone()
        if found is None:
            return row
        match, limit, auto = found
        facts = replace(row.voice, voice_match=match, speaker_auto=auto)
        return replace(row, voice=facts, decision=_of_its_speaker(row.decision, match, limit))

    def embeddings(self) -> Iterator[Embedding]:
        """Yield the embedding of each clip by clip id."""
        columns = "clip_id, source, speaker, speaker_auto, version, body"
        for row in self._database.execute(f"SELECT {columns} FROM voice ORDER BY clip_id"):
            yield Embedding(*row)

    # ---- one speaker behind a label

    def _match(self) -> None:
        if self._config.match_min is None:
            return
        many = self._database.execute(
            "SELECT speaker FROM voice WHERE speaker IS NOT NULL AND kept GROUP BY speaker HAVING count(*) >= ? "
            "ORDER BY speaker",
            (self._config.min_clips,),
        ).fetchall()
        for (speaker,) in many:
            heard = self._database.execute(
                "SELECT body FROM voice WHERE speaker = ? AND kept ORDER BY digest LIMIT ?", (speaker, HEARD)
            )
            centre = speakers.centre(_voices(heard.fetchall()), self._config.match_min)
            clips = self._database.execute("SELECT body, rowid FROM voice WHERE speaker = ?", (speaker,))
            for batch in _batches(clips):
                alike = _voices(batch) @ centre.voice
                self._database.executemany(
                    "UPDATE voice SET voice_match = ?, match_limit = ? WHERE rowid = ?",
                    [(round(float(a), 6), centre.limit, rowid) for a, (_, rowid) in zip(alike, batch, strict=True)],
                )

    # ---- names where there is no label

    def _name(self, known: Iterable[Embedding], groups: speakers.Groups) -> None:
        for clip in known:
            found = self._database.execute(
                "UPDATE voice SET speaker_auto = ? WHERE clip_id = ? AND body = ? AND speaker IS NULL",
                (clip.speaker_auto, clip.clip_id, clip.values),
            )
            if clip.speaker_auto and found.rowcount:
                groups.hold(clip.speaker_auto, _voices([(clip.values,)]))
        new = self._database.execute(
            "SELECT body, rowid, digest FROM voice WHERE speaker IS NULL AND speaker_auto IS NULL AND kept "
            "ORDER BY digest"
        )
        for batch in _batches(new):
            names = groups.take(_voices(batch), [f"auto-{digest[:AUTO_DIGITS]}" for _, _, digest in batch])
            self._database.executemany(
                "UPDATE voice SET speaker_auto = ? WHERE rowid = ?",
                [(name, rowid) for name, (_, rowid, _) in zip(names, batch, strict=True)],
            )


def _of_its_speaker(decision: Decision, match: float | None, limit: float | None) -> Decision:
    if decision.verdict is not Verdict.KEPT or match is None or limit is None or match >= limit:
        return decision
    detail = f"voice_match {match:.4g} < {limit:.4g}"
    return replace(decision, verdict=Verdict.REJECTED, reason=Reason.SPEAKER_OUTLIER, detail=detail)


def _batches(rows: sqlite3.Cursor) -> Iterator[list[tuple]]:
    """Yield all rows of a question, so many at a time as are compared each with each.

    Rows are read to the end of a batch before it is given away, and the question is asked of a table that changes: of
    the columns that change none decides which rows there are or their order, but for rows that were read already.
    """
    while batch := rows.fetchmany(speakers.BATCH):
        yield batch


def _voices(rows: Iterable[tuple]) -> NDArray[np.float32]:
    """Return the embeddings that are the first value of each row, (N, 256), each of length 1."""
    return np.stack([voice.from_bytes(body) for body, *_ in rows])
