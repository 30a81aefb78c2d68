"""What manifests and sidecars beside the recordings say of them: LJSpeech, lhotse, NeMo, NAME.txt, NAME.json."""

import gzip
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from clean_corpus.pipeline.core.config import validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata

AtHand = Callable[[Sequence[str]], AbstractContextManager[Path]]
"""Paths -> the folder below which these files lie for the length of a block."""

_WINDOW = 256  # manifests and sidecars at hand at a time
_TABLES = {
    # in the order in which later ones overrule
    "manifest": "number INTEGER PRIMARY KEY, path BLOB, folder BLOB, problems INTEGER DEFAULT 0, first TEXT",
    # of a recording by its number in `found`, or by lhotse's id of it
    "said": "recording INTEGER, id BLOB, manifest INTEGER, line INTEGER, start REAL, text, speaker, licence, consent",
    "missing": "path BLOB, manifest INTEGER, PRIMARY KEY (path, manifest)",
    "lhotse": "folder BLOB, id BLOB, recording INTEGER, PRIMARY KEY (folder, id)",
}


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # JSON may escape half a surrogate pair, which no UTF-8 holds
    return text.strip().encode("utf-8", "backslashreplace").decode() or None


_Text = Annotated[str | None, BeforeValidator(_as_text)]


class _Says(BaseModel):
    text: _Text = None
    speaker: _Text = None
    licence: _Text = Field(None, validation_alias=AliasChoices("licence", "license"))
    consent: _Text = None

    def metadata(self) -> Metadata:
        return Metadata(text=self.text, speaker=self.speaker, licence=self.licence, consent=self.consent)


class _NemoRow(_Says):
    audio_filepath: str
    offset: float | None = None


class _Supervision(_Says):
    recording_id: str
    start: float = 0.0
    custom: _Says | None = None

    def metadata(self) -> Metadata:
        return overlay(self.custom.metadata() if self.custom else Metadata(), super().metadata())


class _Source(BaseModel):
    type: Literal["file"]
    source: str


class _LhotseRecording(BaseModel):
    id: str
    sources: list[_Source] = Field(min_length=1)


class _Cut(BaseModel):
    recording: _LhotseRecording
    supervisions: list[_Supervision] = []


_ROWS: dict[str, type[BaseModel]] = {  # the key that tells a row's kind
    "audio_filepath": _NemoRow,
    "sources": _LhotseRecording,
    "recording_id": _Supervision,
    "recording": _Cut,
}


def is_manifest(path: str) -> bool:
    """Whether a file is a manifest by its name: metadata.csv, *.jsonl, *.jsonl.gz.

    >>> is_manifest("a/metadata.csv"), is_manifest("cuts.jsonl.gz"), is_manifest("a.csv")
    (True, True, False)
    """
    return os.path.basename(path) == "metadata.csv" or path.endswith((".jsonl", ".jsonl.gz"))


def overlay(below: Metadata, above: Metadata) -> Metadata:
    """`above`, with the fields on which it is silent from `below`.

    >>> overlay(Metadata(text="a", speaker="s"), Metadata(text="b"))
    Metadata(text='b', speaker='s', licence=None, consent=None)
    """
    return replace(below, **{name: value for name, value in vars(above).items() if value is not None})


def read_all(db: sqlite3.Connection, at_hand: AtHand, *, only: str | None = None) -> None:
    """Read every manifest and sidecar among the files in table `found` (see sources.py), and note there what they say.

    They lose their own rows unless they are malformed; what they name and is not there gets one. With `only`, the
    recordings that this manifest names are all that is left.
    Names in a manifest are relative to its folder, or to INPUT, or absolute below INPUT. LJSpeech's third column, the
    normalised text, is preferred to the second. Where one manifest says several things of a recording (lhotse
    supervisions, NeMo rows with offsets) the texts are joined in time order and other fields are kept if all agree.
    Of two manifests the later one by name overrules field by field, and sidecars overrule both.
    """
    for name, columns in _TABLES.items():
        db.execute(f"CREATE TABLE {name} ({columns})")
    _choose(db)
    last, query = 0, "SELECT number, path FROM manifest WHERE number > ? ORDER BY number LIMIT ?"
    while window := db.execute(query, (last, _WINDOW)).fetchall():
        with at_hand([os.fsdecode(path) for _, path in window]) as base:
            for number, path in window:
                _Manifest(db, number, path, base).read()
        last = window[-1][0]
    _resolve_ids(db)
    _settle(db, None if only is None else os.fsencode(only))
    for name in _TABLES:
        db.execute(f"DROP TABLE {name}")


def _choose(db: sqlite3.Connection) -> None:
    """Manifests by name; then sidecars, which are .txt and .json files beside another file that is neither."""

    def is_sidecar(path: bytes) -> bool:
        return _is_note(path) and not all(_is_note(beside) for _, beside in _of_stem(db, os.path.splitext(path)[0]))

    for order, chosen in ("", lambda path: is_manifest(os.fsdecode(path))), ("DESC", is_sidecar):  # .json after .txt
        found = db.execute(f"SELECT path FROM found WHERE listed AND error IS NULL ORDER BY path {order}")
        paths = ((path, os.path.dirname(path)) for (path,) in found if chosen(path))
        db.executemany("INSERT INTO manifest (path, folder) VALUES (?, ?)", paths)
        db.execute("UPDATE found SET listed = 0 WHERE path IN (SELECT path FROM manifest)")


def _is_note(path: bytes) -> bool:
    return path.endswith((b".txt", b".json"))


def _of_stem(db: sqlite3.Connection, stem: bytes) -> list[tuple[int, bytes]]:
    """Numbers and paths of the recordings whose path without its extension is `stem`."""
    return [(number, path) for number, path in _near(db, stem) if os.path.splitext(path)[0] == stem]


def _near(db: sqlite3.Connection, stem: bytes) -> list[tuple[int, bytes]]:
    """Those whose path is `stem`, or goes on with a dot."""
    query = "SELECT number, path FROM found WHERE (path = ? OR path > ? AND path < ?) AND listed AND error IS NULL"
    return db.execute(query, (stem, stem + b".", stem + b"/")).fetchall()  # / follows on .


def _encoded(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # JSON may escape half a surrogate pair, which no name holds
        return name.encode("utf-8", "backslashreplace")


@dataclass
class _Manifest:
    """One manifest or sidecar on its way into the database, a row in memory at a time."""

    db: sqlite3.Connection
    number: int
    path: bytes
    base: Path
    problems: int = 0
    first: str | None = None

    def read(self) -> None:
        if self.path.endswith(b"metadata.csv"):
            self._read_ljspeech()
        elif is_manifest(os.fsdecode(self.path)):
            self._read_jsonl()
        else:
            self._read_sidecar()
        if self.problems:
            result = self.problems, self.first, self.number
            self.db.execute("UPDATE manifest SET problems = ?, first = ? WHERE number = ?", result)

    @property
    def file(self) -> Path:
        return self.base / os.fsdecode(self.path)

    @cached_property
    def folder(self) -> bytes:
        return os.path.dirname(self.path)

    @cached_property
    def roots(self) -> tuple[bytes, bytes]:
        """What an absolute name may begin with."""
        return os.fsencode(self.base), os.fsencode(self.base.resolve())

    def wrong(self, problem: str) -> None:
        self.problems += 1
        self.first = self.first or problem.encode("utf-8", "backslashreplace").decode()

    @contextmanager
    def noting_errors(self, where: str = "") -> Iterator[None]:
        """A bad manifest, or a bad line of it, must not stop a run: what is wrong becomes the manifest's own row."""
        try:
            yield
        except ConfigError as error:
            self.wrong(f"{where}{error}")
        except UnicodeDecodeError as error:
            self.wrong(f"expected UTF-8: {error}")
        except (OSError, EOFError, zlib.error) as error:
            self.wrong(f"cannot read: {getattr(error, 'strerror', None) or error}")

    def lines(self) -> Iterator[tuple[int, str]]:
        opener = gzip.open if self.path.endswith(b".gz") else open
        with self.noting_errors(), opener(self.file, "rt", encoding="utf-8-sig") as file:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip())

    def rows(self) -> Iterator[tuple[int, BaseModel]]:
        for number, line in self.lines():
            with self.noting_errors(f"line {number}: "):
                yield number, _parse(line, None)

    def say(self, recording: int | None, line: int, start: float, says: Metadata, row_id: bytes | None = None) -> None:
        values = recording, row_id, self.number, line, start, says.text, says.speaker, says.licence, says.consent
        self.db.execute("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def miss(self, path: bytes) -> None:
        self.db.execute("INSERT OR IGNORE INTO missing VALUES (?, ?)", (path, self.number))

    def _read_sidecar(self) -> None:
        with self.noting_errors():
            content = self.file.read_text("utf-8-sig")
            is_text = self.path.endswith(b".txt")
            says = Metadata(text=_as_text(content)) if is_text else _parse(content, _Says).metadata()
            for recording, _ in _of_stem(self.db, os.path.splitext(self.path)[0]):
                self.say(recording, 1, 0.0, says)

    def _read_ljspeech(self) -> None:
        for number, line in self.lines():
            name, *texts = (column.strip() for column in line.split("|"))
            if not name or not texts:
                self.wrong(f"line {number}: expected id|text, got {line[:80]!r}")
                continue
            places = [os.path.normpath(os.path.join(self.folder, part, _encoded(name))) for part in (b"", b"wavs")]
            found = [
                recording
                for place in places
                for recording, path in _near(self.db, place)
                if place in (path, os.path.splitext(path)[0])
            ]
            if not found:
                self.miss(places[0])
            text = next((text for text in reversed(texts[:2]) if text), None)
            for recording in found:
                self.say(recording, number, 0.0, Metadata(text=text))

    def _read_jsonl(self) -> None:
        for number, row in self.rows():
            match row:
                case _Supervision():  # of another file's recordings maybe
                    self.say(None, number, row.start, row.metadata(), _id(row.recording_id))
                    continue
                case _NemoRow():
                    name, says = row.audio_filepath, [(row.offset or 0.0, row.metadata())]
                case _Cut():
                    name = row.recording.sources[0].source
                    says = [(supervision.start, supervision.metadata()) for supervision in row.supervisions]
                case _LhotseRecording():
                    name, says = row.sources[0].source, []
            recording = self._named(_encoded(name))
            if isinstance(row, _LhotseRecording):
                values = self.folder, _id(row.id), recording
                self.db.execute("INSERT OR REPLACE INTO lhotse VALUES (?, ?, ?)", values)
            if recording is not None:
                for start, metadata in says or [(0.0, Metadata())]:
                    self.say(recording, number, start, metadata)

    def _named(self, name: bytes) -> int | None:
        """The recording that a name means; missing if there is none."""
        places = [os.path.join(self.folder, name), name]
        if os.path.isabs(name):
            places = [os.path.relpath(name, root) for root in self.roots]
        for place in map(os.path.normpath, places):
            query = "SELECT number FROM found WHERE path = ? AND listed AND error IS NULL"
            if found := self.db.execute(query, (place,)).fetchone():
                return int(found[0])
        self.miss(os.path.normpath(places[0]))
        return None


def _id(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _resolve_ids(db: sqlite3.Connection) -> None:
    """Lhotse's supervisions to the recordings of their folder."""
    known = "FROM manifest JOIN lhotse USING (folder) WHERE number = said.manifest AND lhotse.id = said.id"
    unknown = db.execute(
        "SELECT said.manifest, count(*), min(line), id FROM said "
        f"WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 {known}) GROUP BY said.manifest"
    )
    for manifest, count, line, name in unknown.fetchall():
        first = f"line {line}: no recording in this folder's manifests has id {name.decode(errors='surrogatepass')!r}"
        note = "UPDATE manifest SET problems = problems + ?, first = coalesce(first, ?) WHERE number = ?"
        db.execute(note, (count, first, manifest))
    db.execute(f"UPDATE said SET recording = (SELECT recording {known}) WHERE id IS NOT NULL")


def _settle(db: sqlite3.Connection, only: bytes | None) -> None:
    """What was said, missed and wrong, to the rows of table `found`."""
    if only is not None:
        db.execute("UPDATE found SET listed = 0")
    said = db.execute(
        "SELECT recording, path, text, speaker, licence, consent FROM said CROSS JOIN manifest ON number = manifest "
        "WHERE recording IS NOT NULL ORDER BY recording, manifest, start, line, said.rowid"
    )
    for recording, rows in groupby(said, key=itemgetter(0)):
        metadata, listed = Metadata(), only is None
        for path, of_one in groupby(rows, key=itemgetter(1)):
            says = [Metadata(*row[2:]) for row in of_one]
            metadata = overlay(metadata, says[-1] if path.endswith(b"metadata.csv") else _merged(says))
            listed = listed or path == only
        db.execute(
            "UPDATE found SET text = ?, speaker = ?, licence = ?, consent = ?, listed = ? WHERE number = ?",
            (metadata.text, metadata.speaker, metadata.licence, metadata.consent, listed, recording),
        )
    missing = db.execute(
        "SELECT missing.path, manifest.path, min(number) FROM missing CROSS JOIN manifest ON number = manifest "
        "WHERE ?1 IS NULL OR manifest.path = ?1 GROUP BY missing.path",
        (only,),
    )
    for path, manifest, _ in missing:
        db.execute(
            "INSERT INTO found (path, source, error) VALUES (?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET error = excluded.error, listed = 1 WHERE NOT listed",
            (path, _printable(path), f"named in {_printable(manifest)} but not found"),
        )
    query = "SELECT path, problems, first FROM manifest WHERE problems AND (?1 IS NULL OR path = ?1)"
    for path, problems, first in db.execute(query, (only,)):
        others = f" (and {problems - 1} more)" if problems > 1 else ""
        error = f"malformed manifest: {first}{others}"
        db.execute("UPDATE found SET error = ?, listed = 1 WHERE path = ?", (error, path))


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _parse(content: str, model: type[BaseModel] | None) -> Any:
    """`content` as a `model`, or as the kind of row that its keys tell.

    Raises: ConfigError that says what was expected.
    """
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON: {error}") from None
    keys = row.keys() if isinstance(row, dict) else ()
    model = model or next((kind for key, kind in _ROWS.items() if key in keys), None)
    if model is None:
        raise ConfigError(f"expected an object with one of {', '.join(_ROWS)}; got {content[:80]!r}")
    return validate(model, row)


def _merged(says: Sequence[Metadata]) -> Metadata:
    """What one manifest says of a recording, of parts of it in time order."""
    agreed = {}
    for name in ("speaker", "licence", "consent"):
        values = {getattr(metadata, name) for metadata in says} - {None}
        agreed[name] = values.pop() if len(values) == 1 else None
    return Metadata(text=" ".join(metadata.text for metadata in says if metadata.text) or None, **agreed)
