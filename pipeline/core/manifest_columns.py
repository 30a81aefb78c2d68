"""Names that columns of tables and keys of JSON lines go by, and what each of them means."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from clean_corpus.pipeline.core.errors import ConfigError, nearest

SEPARATORS = {"|": "|", "\t": "\t", ";": ";", ",": ",", "tab": "\t", "\\t": "\t"}

FIELDS = {
    "audio": (
        "audio audio_filepath audio_file audio_path audiopath audio_filename audio_file_name file_name filename "
        "file_path filepath file path wav wav_path wav_file wav_filename clip"
    ),
    "id": "id utt_id utterance_id uttid utt clip_id recording_id audio_id item_name key",
    "text": "text transcript transcription transcripts sentence",
    "normalised": (
        "normalised normalized normalised_text normalized_text text_normalised text_normalized norm_text text_norm "
        "normalised_transcription normalized_transcription normalised_transcript normalized_transcript"
    ),
    "raw": "raw_text raw_transcription raw_transcript original_text text_raw",
    "speaker": "speaker speaker_name speaker_id speakerid spk spk_id client_id",
    "licence": "licence license",
    "consent": "consent",
    "language": "language lang locale",
}
_FIELD_OF = {name: field for field, names in FIELDS.items() for name in names.split()}
_SPOKEN = ("normalised", "text", "raw")  # the first that is there is the text


class ColumnsError(ConfigError, ValueError):
    """Columns that do not say what they are; an error of a setting too, if it declares them."""


@dataclass(frozen=True)
class Columns:
    """Positions of the fields of a recording: of its name, of its text (best first), and of the rest."""

    name: int
    text: tuple[int, ...] = ()
    speaker: int | None = None
    licence: int | None = None
    consent: int | None = None
    language: int | None = None
    names: tuple[str, ...] = ()
    name_is_id: bool = False


def field_of(name: str) -> str | None:
    """Return the field that the name of a column means, None if it is not known.

    >>> field_of("Audio File"), field_of("client-id"), field_of("age")
    ('audio', 'speaker', None)
    """
    return _FIELD_OF.get(_plain(name))


def _plain(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def nearest_field(name: str) -> str | None:
    """Return the field that a misspelt name of a column may mean, None if none is near.

    >>> nearest_field("Text"), nearest_field("transcripton"), nearest_field("duration")
    ('text', 'text', None)
    """
    close = difflib.get_close_matches(_plain(name), _FIELD_OF, n=1, cutoff=0.75)
    return _FIELD_OF[close[0]] if close else None


def declared_columns(text: str) -> Columns:
    """Return the columns that the setting manifest.columns declares.

    Raises: ColumnsError if a name is not known, none names the recording, or two mean the same.

    >>> columns = declared_columns("audio|speaker|text")
    >>> columns.name, columns.text, columns.speaker
    (0, (2,), 1)
    """
    names = [name.strip() for name in text.split("|")]
    for name in names:
        if name != "_" and field_of(name) is None:
            raise ColumnsError(f"{name!r} is not one of {', '.join(FIELDS)}, _{nearest(name.casefold(), _FIELD_OF)}")
    return choose_columns(names)


def choose_columns(names: Sequence[str]) -> Columns:
    """Return where the fields stand among columns of these names; unknown ones are passed over.

    The normalised text is preferred to the text, and that to the raw one; a file's name to an id; a speaker's name to
    an id of him.

    Raises: ColumnsError if no column names the recording, or two mean the same.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if field := field_of(name):
            places.setdefault(field, []).append(place)
    speakers = FIELDS["speaker"].split()
    places.get("speaker", []).sort(key=lambda place: speakers.index(_plain(names[place])))
    for field in ("audio" if "audio" in places else "id", *_SPOKEN, "licence", "consent"):
        if len(found := places.get(field, [])) > 1:
            both = " and ".join(repr(names[place]) for place in found[:2])
            raise ColumnsError(f"columns {both} both mean {field}; say with manifest.columns which one counts")
    if "audio" not in places and "id" not in places:
        raise ColumnsError("no column names the recording, as audio or id would")
    first = {field: found[0] for field, found in places.items()}
    return Columns(
        name=first["audio"] if "audio" in first else first["id"],
        text=tuple(first[field] for field in _SPOKEN if field in first),
        speaker=first.get("speaker"),
        licence=first.get("licence"),
        consent=first.get("consent"),
        language=first.get("language"),
        names=tuple(names),
        name_is_id="audio" not in first,
    )
