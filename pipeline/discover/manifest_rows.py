"""Kinds of JSON rows in manifests and sidecars: NeMo, lhotse, and plain metadata."""

import json
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata, overlay


def as_text(value: Any) -> str | None:
    r"""Return any JSON value as stripped text that UTF-8 can hold, None for nothing.

    >>> as_text(" hello\n"), as_text(7), as_text(True), as_text("  ")
    ('hello', '7', 'true', None)
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # JSON may escape half a surrogate pair, which no UTF-8 holds
    return text.strip().encode("utf-8", "backslashreplace").decode() or None


Text = Annotated[str | None, BeforeValidator(as_text)]


class MetadataRow(BaseModel):
    """The fields that any kind of row may give of a recording."""

    text: Text = None
    speaker: Text = None
    licence: Text = Field(None, validation_alias=AliasChoices("licence", "license"))
    consent: Text = None

    def metadata(self) -> Metadata:
        """Return the row's metadata."""
        return Metadata(text=self.text, speaker=self.speaker, licence=self.licence, consent=self.consent)


class NemoRow(MetadataRow):
    """A row of a NeMo manifest: a file, or a part of it from `offset` s on."""

    audio_filepath: str
    offset: float | None = None


class Supervision(MetadataRow):
    """A lhotse supervision: what is spoken in a recording from `start` s on."""

    recording_id: str
    start: float = 0.0
    custom: MetadataRow | None = None

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
    """A lhotse cut: a recording with its supervisions."""

    recording: LhotseRecording
    supervisions: list[Supervision] = []


_KINDS: dict[str, type[BaseModel]] = {  # by the key that only rows of this kind have
    "audio_filepath": NemoRow,
    "sources": LhotseRecording,
    "recording_id": Supervision,
    "recording": Cut,
}


def parse_row(content: str, model: type[BaseModel] | None = None) -> Any:
    """Return JSON text as an instance of `model`, or of the kind of row that its keys tell.

    Raises: ConfigError that says what was expected.
    """
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON: {error}") from None
    keys = row.keys() if isinstance(row, dict) else ()
    model = model or next((kind for key, kind in _KINDS.items() if key in keys), None)
    if model is None:
        raise ConfigError(f"expected an object with one of {', '.join(_KINDS)}; got {content[:80]!r}")
    return validate(model, row)
