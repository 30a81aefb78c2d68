"""What manifests and sidecars beside the recordings say of them: LJSpeech, lhotse, NeMo, NAME.txt, NAME.json."""

import contextlib
import gzip
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from pipeline.clip import Metadata
from pipeline.config import validate
from pipeline.errors import ConfigError


@dataclass
class Manifest:
    """One manifest or sidecar, read: recordings found -> metadata, names without a file, what is wrong with it."""

    path: str
    metadata: dict[str, Metadata] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)


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


def read_all(base: Path, paths: Iterable[str]) -> list[Manifest]:
    """Every manifest and sidecar among `paths` (relative to `base`), in the order in which later ones overrule.

    Names in a manifest are relative to its folder, or to `base`, or absolute below `base`. LJSpeech's third column,
    the normalised text, is preferred to the second. Where one manifest says several things of a recording (lhotse
    supervisions, NeMo rows with offsets) the texts are joined in time order and other fields are kept if all agree.
    """
    manifests: list[Manifest] = []
    others: dict[str, list[str]] = defaultdict(list)  # path without extension -> files
    for path in sorted(paths):
        if is_manifest(path):
            manifests.append(Manifest(path))
        else:
            others[os.path.splitext(path)[0]].append(path)

    sidecars: list[Manifest] = []
    recordings: dict[str, list[str]] = {}
    for stem, files in others.items():
        notes = [path for path in files if path.endswith((".txt", ".json"))]
        recordings[stem] = [path for path in files if path not in notes] or files
        if recordings[stem] != files:
            sidecars += [_read_sidecar(base, path, recordings[stem]) for path in sorted(notes, reverse=True)]

    jsonl: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        if manifest.path.endswith("metadata.csv"):
            _read_ljspeech(base, manifest, recordings)
        else:
            jsonl[os.path.dirname(manifest.path)].append(manifest)
    for folder, group in jsonl.items():
        _read_jsonl(base, folder, group, {path for files in recordings.values() for path in files})
    return manifests + sidecars


def _read_sidecar(base: Path, path: str, recordings: list[str]) -> Manifest:
    manifest = Manifest(path)
    with _noting_errors(manifest):
        content = (base / path).read_text("utf-8-sig")
        is_text = path.endswith(".txt")
        says = Metadata(text=_as_text(content)) if is_text else _parse(content, _Says).metadata()
        manifest.metadata = dict.fromkeys(recordings, says)
    return manifest


def _read_ljspeech(base: Path, manifest: Manifest, recordings: dict[str, list[str]]) -> None:
    folder = os.path.dirname(manifest.path)
    for number, line in _lines(base, manifest):
        name, *texts = (column.strip() for column in line.split("|"))
        if not name or not texts:
            manifest.errors.append(f"line {number}: expected id|text, got {line[:80]!r}")
            continue
        places = [os.path.normpath(os.path.join(folder, part, name)) for part in ("", "wavs")]
        found = [path for place in places for path in recordings.get(place, [])]
        found += [place for place in places if place in recordings.get(os.path.splitext(place)[0], [])]
        if not found:
            manifest.missing.add(places[0])
        text = next((text for text in reversed(texts[:2]) if text), None)
        manifest.metadata.update(dict.fromkeys(found, Metadata(text=text)))


def _read_jsonl(base: Path, folder: str, group: list[Manifest], known: set[str]) -> None:
    """Fills the manifests of one folder; together, since lhotse's supervisions speak of another file's recordings."""
    rows = [(manifest, number, row) for manifest in group for number, row in _rows(base, manifest)]
    names = {row.id: row.sources[0].source for _, _, row in rows if isinstance(row, _LhotseRecording)}
    said: dict[tuple[int, str], list[tuple[float, Metadata]]] = defaultdict(list)
    for manifest, number, row in rows:
        match row:
            case _NemoRow():
                name, says = row.audio_filepath, [(row.offset or 0.0, row.metadata())]
            case _Cut():
                name = row.recording.sources[0].source
                says = [(supervision.start, supervision.metadata()) for supervision in row.supervisions]
            case _Supervision():
                name, says = names.get(row.recording_id), [(row.start, row.metadata())]
            case _LhotseRecording():
                name, says = row.sources[0].source, []
        if name is None:
            manifest.errors.append(
                f"line {number}: no recording in this folder's manifests has id {row.recording_id!r}"
            )
            continue
        places = [os.path.join(folder, name), name]
        if os.path.isabs(name):
            places = [os.path.relpath(name, base), os.path.relpath(name, base.resolve())]
        path = next((place for place in map(os.path.normpath, places) if place in known), None)
        if path:
            said[group.index(manifest), path] += says
        elif not isinstance(row, _Supervision):
            manifest.missing.add(os.path.normpath(places[0]))
    for (index, path), says in said.items():
        group[index].metadata[path] = _merged(says)


def _rows(base: Path, manifest: Manifest) -> Iterator[tuple[int, BaseModel]]:
    for number, line in _lines(base, manifest):
        with _noting_errors(manifest, f"line {number}: "):
            yield number, _parse(line, None)


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


def _merged(says: list[tuple[float, Metadata]]) -> Metadata:
    ordered = [metadata for _, metadata in sorted(says, key=lambda item: item[0])]
    agreed = {}
    for name in ("speaker", "licence", "consent"):
        values = {getattr(metadata, name) for metadata in ordered} - {None}
        agreed[name] = values.pop() if len(values) == 1 else None
    return Metadata(text=" ".join(metadata.text for metadata in ordered if metadata.text) or None, **agreed)


def _lines(base: Path, manifest: Manifest) -> Iterator[tuple[int, str]]:
    opener = gzip.open if manifest.path.endswith(".gz") else open
    with _noting_errors(manifest), opener(base / manifest.path, "rt", encoding="utf-8-sig") as file:
        yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip())


@contextlib.contextmanager
def _noting_errors(manifest: Manifest, where: str = "") -> Iterator[None]:
    """One bad manifest, or one bad line of it, must not stop a run: what is wrong becomes the manifest's own row."""
    try:
        yield
    except ConfigError as error:
        manifest.errors.append(f"{where}{error}")
    except UnicodeDecodeError as error:
        manifest.errors.append(f"expected UTF-8: {error}")
    except (OSError, EOFError, zlib.error) as error:
        manifest.errors.append(f"cannot read: {getattr(error, 'strerror', None) or error}")
