"""Decisions of people over clips: entries that are only ever added, beside the corpus, and what they come to together.

Each batch of entries is an object of its own below `decisions/`, JSON lines, put only if none has its name: so two
reviewers at once lose nothing, in a folder or in a bucket. An entry names its clip by content, the hash of the
recording's bytes and where it was cut, so that runs of later nights find it again under whatever name.
"""

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.types import Version
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.text.normalise import clean_text

FOLDER = "decisions"
TOLERANCE_S = 0.05
"""How far apart two cuts of a recording may begin and end and still be one clip: another rate moves them less."""
MANY = 64  # objects of entries that are put together into one
READERS = 16  # parallel requests
_ONE_LINE = r"^\P{Cc}*$"  # names are printed in terminals

What = Literal["keep", "reject", "use_raw", "use_enhanced", "text", "speaker", "note", "undo"]


class Entry(BaseModel):
    """One decision of one person over one clip, as it is stored.

    `value` is the reason of a rejection, the right text or speaker (null: there is none), the note, or the id of the
    entry that is undone. `at` is in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    id: str = Field(default_factory=lambda: secrets.token_hex(8), pattern=r"^[0-9a-f]{8,64}$")
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    by: str = Field(min_length=1, max_length=200, pattern=_ONE_LINE)
    what: What
    value: str | None = Field(None, max_length=100_000)
    clip_id: str = Field(pattern=_ONE_LINE)
    source: str
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    offset_s: float = Field(ge=0)
    end_s: float = Field(ge=0)

    @model_validator(mode="after")
    def _has_its_value(self) -> Self:
        if self.at.tzinfo is None:
            raise ValueError(f"at {self.at} has no time zone; write it as 2026-01-31T12:00:00Z")
        if self.value is not None and self.what in ("keep", "use_raw", "use_enhanced"):
            raise ValueError(f"{self.what} takes no value, found {self.value!r}; a remark is a note")
        if self.what == "undo" and not self.value:
            raise ValueError("undo needs the id of an entry as its value")
        return self


@dataclass(frozen=True)
class Review:
    """What all entries over one clip come to; None where nothing was decided.

    `words` names what was decided, `fields` holds the text and speaker that were given, each possibly None.
    """

    verdict: Literal["keep", "reject"] | None = None
    why: str | None = None
    version: Version | None = None
    fields: Mapping[str, str | None] = field(default_factory=dict)
    note: str | None = None
    by: str = ""
    at: str = ""

    @property
    def words(self) -> str | None:
        """What was decided, in the words of the entries; None if it comes to nothing but a note.

        >>> Review(verdict="keep", version="raw", fields={"text": "a"}).words
        'use_raw, text'
        """
        verdict = f"use_{self.version}" if self.verdict == "keep" and self.version else self.verdict
        return ", ".join(filter(None, [verdict, *self.fields])) or None


@dataclass
class _Cut:
    """The entries over one clip, the oldest first."""

    offset_s: float
    end_s: float
    entries: list[Entry] = field(default_factory=list)

    def is_at(self, offset_s: float, end_s: float) -> bool:
        return max(abs(self.offset_s - offset_s), abs(self.end_s - end_s)) <= TOLERANCE_S


class Decided:
    """All decisions over a corpus, by the content of clips; of each field the last entry counts."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._cuts: dict[str, list[_Cut]] = {}
        self._ids: set[str] = set()
        for entry in sorted(entries, key=lambda entry: (entry.at, entry.id)):
            self.add(entry)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, entry: Entry) -> None:
        """Add an entry; one that is there already, by its id, changes nothing."""
        if entry.id in self._ids:
            return
        self._ids.add(entry.id)
        cut = self._cut(entry.source_sha256, entry.offset_s, entry.end_s)
        if cut is None:
            cut = _Cut(entry.offset_s, entry.end_s)
            self._cuts.setdefault(entry.source_sha256, []).append(cut)
        cut.entries.append(entry)
        cut.entries.sort(key=lambda entry: (entry.at, entry.id))

    def _cut(self, sha256: str | None, offset_s: float, end_s: float) -> _Cut | None:
        near = (cut for cut in self._cuts.get(sha256 or "", ()) if cut.is_at(offset_s, end_s))
        return min(near, key=lambda cut: abs(cut.offset_s - offset_s) + abs(cut.end_s - end_s), default=None)

    def entries_of(self, sha256: str | None, offset_s: float, end_s: float) -> Sequence[Entry]:
        """Return the entries over a clip, the oldest first."""
        cut = self._cut(sha256, offset_s, end_s)
        return tuple(cut.entries) if cut else ()

    def of(self, sha256: str | None, offset_s: float, end_s: float) -> Review | None:
        """Return what was decided over a clip, None if nothing was or all of it was undone."""
        return folded(self.entries_of(sha256, offset_s, end_s))

    def contents(self) -> list[str]:
        """Return the hashes of the recordings over whose clips something was decided."""
        return list(self._cuts)

    def only(self, contents: Collection[str | None]) -> "Decided":
        """Return the decisions over the clips of some recordings alone, by the hashes of those."""
        part = Decided()
        part._cuts = {content: cuts for content, cuts in self._cuts.items() if content in contents}
        part._ids = {entry.id for cuts in part._cuts.values() for cut in cuts for entry in cut.entries}
        return part

    def last_entries(self) -> Iterator[Entry]:
        """Yield the last standing entry over each clip over which something is decided."""
        for cuts in self._cuts.values():
            for cut in cuts:
                if folded(cut.entries):
                    yield standing(cut.entries)[-1]


def standing(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that are not undone, in their order; an undone undo undoes nothing.

    What an undo names was there before it, whatever the clocks of two reviewers say.
    """
    undoes: dict[str, list[str]] = {}
    for entry in entries:
        if entry.what == "undo":
            undoes.setdefault(str(entry.value), []).append(entry.id)

    def stands(name: str, above: frozenset[str]) -> bool:
        others = (other for other in undoes.get(name, ()) if other not in above)
        return not any(stands(other, above | {other}) for other in others)

    return [entry for entry in entries if entry.what != "undo" and stands(entry.id, frozenset({entry.id}))]


def folded(entries: Sequence[Entry]) -> Review | None:
    """Return what entries over one clip come to, the oldest first; None if that is nothing."""
    verdict: Literal["keep", "reject"] | None = None
    why = note = None
    version: Version | None = None
    fields: dict[str, str | None] = {}
    found = standing(entries)
    for entry in found:
        match entry.what:
            case "keep":
                verdict, why = "keep", None
            case "reject":
                verdict, why = "reject", clean_text(entry.value) or None
            case "use_raw" | "use_enhanced":  # who wants a version published wants the clip
                verdict, why, version = "keep", None, "raw" if entry.what == "use_raw" else "enhanced"
            case "text" | "speaker":
                fields[entry.what] = clean_text(entry.value) or None
            case "note":
                note = (entry.value or "").strip() or None
    if not (verdict or version or fields or note):
        return None
    ordered = {name: fields[name] for name in ("text", "speaker") if name in fields}
    return Review(verdict, why, version, ordered, note, found[-1].by, found[-1].at.isoformat(timespec="seconds"))


# ---- stored ----------------------------------------------------------------------------------------------------


def append(store: Store, entries: Sequence[Entry]) -> str:
    """Store entries for good, as one object of their own; return its key.

    Raises: StorageError if the location is full, cannot be reached or may not be written.
    """
    data = b"".join(canonical_json(entry.model_dump(mode="json")) + b"\n" for entry in entries)
    while True:
        key = f"{FOLDER}/{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}.jsonl"
        if store.create(key, data):
            return key


def parse(key: str, data: bytes) -> list[Entry]:
    """Return the entries of JSON lines.

    Raises: DataError that names the line.
    """
    return [entry_of(values, f"{key}:{number}") for number, values in json_lines(key, data)]


def json_lines(key: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of JSON lines with the numbers of their lines, from 1; empty lines are passed over.

    Raises: DataError that names the line.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DataError(f"{key}:{number}: is no JSON: {error}; mend or remove the line") from None
        if not isinstance(values, dict):
            raise DataError(f"{key}:{number}: is no JSON object, but {type(values).__name__}; mend or remove the line")
        yield number, values


def entry_of(values: Mapping[str, Any], place: str) -> Entry:
    """Return an entry from its fields.

    Raises: DataError that names the place and the field.
    """
    try:
        return Entry.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "entry"
        raise DataError(f"{place}: {name}: {first['msg']}; mend or remove the line") from None


class Reader:
    """Reads the entries of a corpus, each object once however often it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[str] = set()

    def news(self) -> list[Entry]:
        """Return the entries that were added since the last call; some may come twice, which their ids tell.

        Raises: DataError if an object holds something else.
        """
        keys = [key for key in self._store.keys(FOLDER) if key.endswith(".jsonl") and key not in self._seen]
        with ThreadPoolExecutor(READERS) as threads:
            found = list(threads.map(self._read, keys))
        self._seen.update(keys)
        return [entry for entries in found for entry in entries]

    def _read(self, key: str) -> list[Entry]:
        try:
            return parse(f"{self._store.root}/{key}", self._store.read(key))
        except FileNotFoundError:  # put together with others, whose object is there
            return []


def load(store: Store) -> Decided:
    """Return all decisions over a corpus.

    Raises: DataError if something below decisions/ is no decision.
    """
    reader = Reader(store)
    return Decided([*reader.news(), *reader.news()])  # the second time those that were put together meanwhile


def put_together(store: Store) -> None:
    """Replace many objects of entries by one, while this process alone may change the corpus.

    The new one is there before the old ones go, and entries count once by their ids: a death in between, or a request
    that arrives late, changes nothing.
    """
    keys = [key for key in store.keys(FOLDER) if key.endswith(".jsonl")]
    if len(keys) <= MANY:
        return
    rewrite(store, keys, lambda _: True)


def rewrite(store: Store, keys: Sequence[str], is_kept: Callable[[Entry], bool]) -> list[str]:
    """Put the entries of some objects for which `is_kept` holds into one, and remove those objects; return their keys.

    Raises: DataError if something there is no decision.
    """
    entries = {entry.id: entry for key in keys for entry in parse(key, store.read(key)) if is_kept(entry)}
    if entries:
        append(store, sorted(entries.values(), key=lambda entry: (entry.at, entry.id)))
    for key in keys:
        store.delete(key)
    return list(keys)
