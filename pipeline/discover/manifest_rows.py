"""Kinds of JSON rows in manifests and sidecars: NeMo, lhotse, and plain metadata."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.manifest_columns import choose_columns, field_of, nearest_field
from clean_corpus.pipeline.core.types import Metadata, overlay


def as_text(value: Any) -> str | None:
    r"""Return any JSON value as stripped text that UTF-8 can hold, None for nothing.

    >>> as_text(" hello\n"), as_text(7), as_text(True), as_text("  ")
    ('hello', '7', 'true', None)
    """
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        words = "NaN or infinity, which programs write for an empty cell, is no text; write null"
        raise PydanticCustomError("not_finite", words)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # JSON may escape half a surrogate pair, which no UTF-8 holds
    return text.strip().encode("utf-8", "backslashreplace").decode() or None


def _as_words(value: Any) -> str | None:
    if isinstance(value, (dict, list)):
        kind = "a list" if isinstance(value, list) else "an object"
        raise PydanticCustomError("no_words", f"expected words, not {kind}")
    return as_text(value)


Text = Annotated[str | None, BeforeValidator(as_text)]
Words = Annotated[str | None, BeforeValidator(_as_words)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


def end_of(start_s: float | None, duration_s: float | None) -> float | None:
    """Return where a part ends that has a start and a duration, None if it lacks one of them.

    Raises: ConfigError as `require_duration`.
    """
    if start_s is None or duration_s is None:
        return None
    require_duration(start_s, start_s + duration_s)
    return round(start_s + duration_s, 6)


class MetadataRow(BaseModel):
    """The fields that any kind of row may give of a recording."""

    text: Words = None
    speaker: Words = None
    licence: Text = Field(None, validation_alias=AliasChoices("licence", "license"))
    consent: Text = None
    language: Text = Field(None, validation_alias=AliasChoices("language", "lang"))

    def metadata(self) -> Metadata:
        """Return the row's metadata."""
        return Metadata(self.text, self.speaker, self.licence, self.consent, self.language)


def require_duration(start_s: float, end_s: float) -> None:
    """Refuse times of a text in which nothing can be spoken.

    Raises: ConfigError if it begins before the recording does, or does not end after it begins.
    """
    if start_s < 0 or end_s <= start_s:
        raise ConfigError(f"a text from {start_s:g} s to {end_s:g} s has no time to be spoken in; mend its times")


class NemoRow(MetadataRow):
    """A row of a NeMo manifest: a file, or a part of it of `duration` s from `offset` s on."""

    audio_filepath: str
    offset: Seconds | None = None
    duration: Seconds | None = None

    @property
    def end_s(self) -> float | None:
        """Where the part ends, None for a whole file."""
        return end_of(self.offset, self.duration)


class Supervision(MetadataRow):
    """A lhotse supervision: what is spoken in a recording for `duration` s from `start` s on."""

    recording_id: str
    id: Any = None
    start: Seconds = 0.0
    duration: Seconds | None = None
    custom: MetadataRow | None = None

    @property
    def end_s(self) -> float | None:
        """Where it ends, None if it has no duration."""
        return end_of(self.start, self.duration)

    def part(self, start_s: float, *line: int) -> str:
        """Return what tells this supervision from another one of its recording: its id and time, or its place."""
        return f"id {self.id!r} at {start_s:.4f}" if self.id is not None else f"line {line}"

    def metadata(self) -> Metadata:
        """Return the row's metadata over that of its custom fields."""
        return overlay(self.custom.metadata() if self.custom else Metadata(), super().metadata())


class Source(BaseModel):
    """The file of a lhotse recording; commands and addresses are refused."""

    type: Literal["file"]
    source: str


class LhotseRecording(BaseModel):
    """A lhotse recording: a name for a file, which supervisions refer to."""

    id: str
    sources: list[Source] = Field(min_length=1)


class Cut(BaseModel):
    """A lhotse cut: a stretch of a recording from `start` s on, whose supervisions count from there."""

    recording: LhotseRecording
    start: Seconds = 0.0
    supervisions: list[Supervision] = []


_KINDS: dict[str, type[BaseModel]] = {  # by the key that only rows of this kind have
    "audio_filepath": NemoRow,
    "sources": LhotseRecording,
    "recording_id": Supervision,
    "recording": Cut,
}


def parse_row(content: str) -> Any:
    """Return JSON text as an instance of the kind of row that its keys tell.

    Raises: ConfigError that says what was expected.
    """
    row = _parse_json(content)
    kind = _kind(row)
    if kind is None:
        known = ", ".join(_KINDS)
        words = "a list; write one object a line" if isinstance(row, list) else repr(content[:80])
        raise ConfigError(f"expected an object with one of {known}, or a file's name and a text; got {words}")
    return validate(kind, _as_nemo(row) if kind is NemoRow else row)


def is_row(content: str) -> bool:
    """Return whether a line is a row of a manifest, by its keys."""
    try:
        return _kind(_parse_json(content)) is not None
    except ConfigError:
        return False


def _parse_json(content: str) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON: {error}") from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ConfigError(f"key {repeated!r} stands twice")
    return found


def _kind(row: Any) -> type[BaseModel] | None:
    """Return the kind of row that the keys of an object tell, None if they tell none."""
    if not isinstance(row, dict):
        return None
    known = next((kind for key, kind in _KINDS.items() if key in row), None)
    fields = {field_of(key) for key in row}
    return known or (NemoRow if "audio" in fields and fields & {"text", "normalised", "raw", "speaker"} else None)


def _as_nemo(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with NeMo's keys in place of others that mean the same; NeMo's own count where both are given."""
    fields: tuple[str, ...] = ("text", "speaker", "licence", "consent", "language")
    given = {key: row[key] for key in (*fields, "license", "lang") if key in row and "audio_filepath" in row}
    taken = {field_of(name) for name in given}
    others = [key for key in row if field_of(key) not in taken and not isinstance(row[key], dict)]
    if "audio_filepath" in row:
        others = ["audio_filepath", *(key for key in others if field_of(key) not in ("audio", "id"))]
    columns = choose_columns(others)
    texts = [row[others[place]] for place in columns.text]
    renamed = {"audio_filepath": row[others[columns.name]], "text": next((t for t in texts if t), None)}
    renamed |= {name: row[others[p]] for name in fields[1:] if (p := getattr(columns, name)) is not None}
    part = {"offset": row["offset"], "duration": row.get("duration")} if row.get("offset") is not None else {}
    return part | renamed | given


def parse_sidecar(content: str) -> tuple[Metadata, str | None]:
    """Return what the JSON text of a sidecar says, and None or what in it is not understood.

    Raises: ConfigError if it is no object, or a value is not of the kind that was expected.
    """
    row = _parse_json(content)
    known = ", ".join(MetadataRow.model_fields)
    if not isinstance(row, dict):
        kind = {list: "a list", str: "a text"}.get(type(row), "a number or a constant")
        raise ConfigError(f"expected an object with the keys {known}; got {kind}: {content.strip()[:80]!r}")
    metadata = validate(MetadataRow, row).metadata()
    own = {*MetadataRow.model_fields, "license", "lang"}
    meant = {key: _meaning(key) for key in row if key not in own}
    problems = [
        f"unknown key {key!r}; did you mean {field!r}?"
        for key, field in meant.items()
        if field is not None and getattr(metadata, field) is None and row[key] is not None
    ]
    if row and not problems and not own & row.keys():
        problems = [f"none of its keys is known: {', '.join(map(repr, row))[:80]}; known are {known}"]
    return metadata, "; ".join(problems) or None


def _meaning(key: str) -> str | None:
    """Return the key of a sidecar that an unknown one may mean, None if none is near."""
    field = field_of(key) or nearest_field(key)
    field = "text" if field in ("normalised", "raw") else field
    return field if field in MetadataRow.model_fields else None
