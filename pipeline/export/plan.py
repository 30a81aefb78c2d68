"""What of a version is exported, under which names and on which side; and what is left out, counted."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus import ledger
from clean_corpus.pipeline.corpus.forgotten import Forgotten
from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.export import split, texts
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.languages import as_read
from clean_corpus.pipeline.export.layouts import Layout
from clean_corpus.pipeline.export.speakers import Speakers, assign
from clean_corpus.pipeline.export.utterances import UNKNOWN, Side, Utterance

VERSION = 1  # raise it when the same clips give other audio files
LISTS = 2  # raise it when the same clips give other lists, cards or pages: they are then written again
ROWS = 10_000  # of the ledger, in memory

_TABLE = """CREATE TABLE clip (clip_id TEXT PRIMARY KEY, shard TEXT, side TEXT, path TEXT, text TEXT, own_speaker TEXT,
    speaker TEXT, language TEXT, licence TEXT, consent TEXT, duration_s REAL, n_samples INTEGER)"""
_COLUMNS = ("clip_id", "shard", "source", "duration_s", "text", "speaker", "licence", "consent")
_OPTIONAL = ("speaker_auto", "language", "text_source")  # of newer ledgers


@dataclass(frozen=True)
class Unit:
    """The clips of one tar that are exported: what is done at once, and reused if it was done before.

    `name` says what the files hold, and `shar` is the end of the names of its Shar files.
    """

    name: str
    shard: Shard
    rows: list[tuple[Side, Utterance]]

    @property
    def shar(self) -> str:
        return self.name[:12]

    def files(self, layout: Layout) -> Iterator[str]:
        """Yield the names of all its files below DEST."""
        yield from (u.path for _, u in self.rows if u.path)
        if layout.shar:
            for side in sorted({side for side, _ in self.rows}):
                yield from (f"shar/{side}/{kind}.{self.shar}.{end}" for kind, end in SHAR)


SHAR = (("recording", "tar"), ("cuts", "jsonl.gz"))


class Plan:
    """The clips of an export, in a scratch database."""

    def __init__(
        self, database: sqlite3.Connection, layout: Layout, options: ExportConfig, sample_rate: int, shards: list[Shard]
    ) -> None:
        self.database, self.layout, self.options, self.sample_rate = database, layout, options, sample_rate
        self.shares = options.shares(layout)
        self.limits_s = layout.limits_s(sample_rate)
        self.shards = {shard.key: shard for shard in shards}
        self.left_out: Counter[str] = Counter()
        self.left_out_s: Counter[str] = Counter()
        self.text_sources: Counter[str] = Counter()
        self.changed_texts = 0
        self.speakers: dict[str, int] = {}
        self.n_speakers = 0
        database.execute(_TABLE)

    def read(self, table: Path) -> None:
        """Take in the kept clips of a ledger.

        Raises: ConfigError if a speaker is not there.
        """
        with ledger.opened(table) as connection:
            known = connection.table("ledger").columns
            columns = [*_COLUMNS, *(name for name in _OPTIONAL if name in known)]
            if self.options.speakers:
                self._require_speakers(connection, "speaker_auto" in known)
            found = connection.execute(f"SELECT {', '.join(columns)} FROM ledger WHERE verdict = 'kept'")
            while rows := found.fetchmany(ROWS):
                records = (self._record(dict(zip(columns, row, strict=True))) for row in rows)
                self.database.executemany(
                    "INSERT INTO clip VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, NULL)", filter(None, records)
                )
        self.database.execute("CREATE INDEX clip_shard ON clip (shard)")
        self.database.execute("CREATE INDEX clip_order ON clip (side, speaker, clip_id)")

    def _require_speakers(self, connection: Any, has_auto: bool) -> None:
        column = "coalesce(speaker, speaker_auto)" if has_auto else "speaker"
        names = connection.execute(f"SELECT DISTINCT {column} FROM ledger WHERE verdict = 'kept'").fetchall()
        known = sorted(name for (name,) in names if name is not None)
        for wanted in self.options.speakers:
            if wanted not in known:
                shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "") or "none that is named"
                raise ConfigError(f"no kept clip of speaker {wanted!r}{nearest(wanted, known)}; there are: {shown}")

    def _record(self, row: Mapping[str, Any]) -> tuple[object, ...] | None:
        """Return the row of a clip that is exported, None of one that is not, which is counted."""
        layout, speaker = self.layout, row["speaker"] or row.get("speaker_auto")
        if self.options.speakers and speaker not in self.options.speakers:
            return None
        text = layout.clean(row["text"]) if row["text"] else None
        language = (row.get("language") or "").strip() or self.options.language
        if why := self._why_not(text, row["duration_s"], language):
            self.left_out[why] += 1
            self.left_out_s[why] += row["duration_s"]
            return None
        if layout.languages:
            language = as_read(language, layout.languages)
        if text:
            self.changed_texts += "|" in row["text"] and "|" not in text
            self.text_sources[row.get("text_source") or "given"] += 1
        key = split.key_of_text(text) if text and self.options.split_by == "text" else speaker or row["source"]
        side = split.side(key, self.shares)
        path = self._path(row["shard"], row["clip_id"], side)
        return (
            row["clip_id"], row["shard"], side, path, text, speaker, language, row["licence"], row["consent"],
            row["duration_s"],
        )  # fmt: skip

    def _why_not(self, text: str | None, duration_s: float, language: str | None) -> str | None:
        layout, (least_s, most_s) = self.layout, self.limits_s
        if least_s and duration_s < least_s:
            return f"shorter than {least_s:.3g} s"
        if most_s and duration_s > most_s:
            return f"longer than {most_s:.3g} s"
        if layout.needs_text and not text:
            return "without text"
        if layout.max_characters and text and len(text) > layout.max_characters:
            return f"text longer than {layout.max_characters} characters"
        if text in layout.missing_texts:
            return "text that the reader takes for a missing value"
        if layout.languages and not language:
            return "without language, which --language en gives, in a run --set export.language=en"
        if layout.languages and as_read(language, layout.languages) is None:
            taken = ", ".join(sorted(set(layout.languages.values())))
            return f"in language {texts.one_line(str(language))}, {layout.reader} takes {taken}"
        return None

    def _path(self, shard: str, clip_id: str, side: Side) -> str | None:
        """Return the name of a clip's file, which changes when its content does: no reader meets half a change."""
        if self.layout.audio is None:
            return None
        tag = content_name("export", self._audio(self.shards[shard]), clip_id)[:8]
        return self.layout.audio.format(side=self.layout.split_names[side], name=f"{clip_id}-{tag}")

    def _audio(self, shard: Shard) -> list[object]:
        """Return what decides the samples of a shard's exported clips."""
        return [VERSION, shard.sha256, self.sample_rate, decode.CODEC_VERSION, *library_versions("soxr")]

    def name_speakers(self, earlier: Mapping[str, Any], forgotten: Forgotten) -> Speakers:
        """Label and number the speakers, those of an earlier export as there; return what the next needs of them.

        After it `n_speakers` says how many a model has: more than any number, in a layout whose lists hold numbers.
        """
        found = {name for (name,) in self.database.execute("SELECT DISTINCT own_speaker FROM clip")}
        named = {UNKNOWN if name is None else name for name in found}
        speakers = assign(named, earlier, self.layout.speaker_names, forgotten)
        self.database.execute("CREATE INDEX clip_speaker ON clip (own_speaker)")
        self.database.executemany(
            "UPDATE clip SET speaker = ? WHERE own_speaker = ?",
            ((label, name) for name, label in speakers.labels.items()),
        )
        self.speakers = {speakers.labels[name]: number for name, number in speakers.numbers.items()}
        self.n_speakers = speakers.next if self.layout.numbers_speakers else len(self.speakers)
        return speakers

    # ---- what is in it

    def units(self) -> Iterator[Unit]:
        """Yield the tars that hold exported clips."""
        for key, shard in self.shards.items():
            rows = list(self._select("WHERE shard = ? ORDER BY clip_id", (key,)))  # 64 or so
            if rows:
                content: object = [u.path or u.clip_id for _, u in rows]
                if self.layout.shar:
                    content = [(side, *astuple(u)) for side, u in rows]
                yield Unit(content_name("export unit", self._audio(shard), content), shard, rows)

    def measured(self, n_samples: Mapping[str, int]) -> None:
        """Take in the lengths of exported clips, samples."""
        self.database.executemany(
            "UPDATE clip SET n_samples = ? WHERE clip_id = ?", ((n, clip_id) for clip_id, n in n_samples.items())
        )

    def utterances(self, side: Side, *, by_speaker: bool = False) -> Iterator[Utterance]:
        """Yield the clips of one side, sorted by clip, or by speaker and then by clip."""
        order = f"coalesce(speaker, '{UNKNOWN}'), clip_id" if by_speaker else "clip_id"
        for _, u in self._select(f"WHERE side = ? ORDER BY {order}", (side,)):
            yield u

    def _select(self, where: str, values: tuple[object, ...]) -> Iterator[tuple[Side, Utterance]]:
        rows = self.database.cursor().execute(
            "SELECT side, clip_id, path, text, speaker, language, licence, consent, coalesce(n_samples, 0) FROM clip "
            f"{where}",
            values,
        )
        for side, *rest in rows:
            yield side, Utterance(*rest, self.sample_rate)
