"""Formats of manifests: tables such as LJSpeech's metadata.csv, and JSON lines of NeMo, lhotse and others."""

import fnmatch
import os
from collections import deque
from collections.abc import Iterator
from typing import Literal

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.manifest_columns import declared_columns
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import (
    Cut,
    LhotseRecording,
    NemoRow,
    Supervision,
    as_text,
    end_of,
    is_row,
    parse_row,
)
from clean_corpus.pipeline.discover.names import find_file, find_named, seek_named
from clean_corpus.pipeline.discover.recordings import SIDECARS
from clean_corpus.pipeline.discover.tables import (
    LJSPEECH,
    Dialect,
    ambiguous_columns,
    declared_dialect,
    header_dialect,
    split_columns,
    unknown_header,
    wrong_count,
)
from clean_corpus.pipeline.discover.text_lines import MAX_LINE

Kind = Literal["table", "jsonl", "maybe table", "maybe jsonl"]
_MAX_QUOTED = 50  # lines of one row


def manifest_kind(path: str, config: ManifestConfig = DEFAULT_MANIFEST) -> Kind | None:
    """Return the kind of manifest that a file is, or may be, by its name: None if it is none.

    Any .csv, .tsv or .json may be one, which its first line tells.

    >>> manifest_kind("a/metadata.csv"), manifest_kind("cuts.jsonl.gz"), manifest_kind("a.tsv"), manifest_kind("a.wav")
    ('table', 'jsonl', 'maybe table', None)
    """
    name = os.path.basename(path)
    if config.files is not None and (name == config.files or fnmatch.fnmatch(name, config.files)):
        return "table"
    name = name.lower().removesuffix(".gz")
    if name == "metadata.csv":
        return "table"
    extension = os.path.splitext(name)[1]
    kinds: dict[str, Kind] = {
        ".jsonl": "jsonl",
        ".csv": "maybe table",
        ".tsv": "maybe table",
        ".json": "maybe jsonl",
    }
    return kinds.get(extension)


def is_manifest(manifest: ManifestFile, kind: Kind) -> bool:
    """Return whether a file that may be a manifest by its name is one by its first lines.

    A table of ids may be of anything else: it is one if any of its rows names a recording, where `read_table` looks.
    """
    lines = manifest.first_lines(2)
    if kind not in ("maybe table", "maybe jsonl"):
        return True
    if not lines:
        return False
    if kind == "maybe jsonl":
        is_list = lines[0].lstrip().startswith("[") and any('"audio_filepath"' in line for line in lines)
        return is_list or is_row(lines[0])  # a list is no manifest, but meant as one
    try:
        dialect = header_dialect(lines[0], manifest.config.separator)
    except ConfigError:
        return True  # and says so when it is read
    if dialect is None or not dialect.columns.name_is_id:
        return dialect is not None
    names = (row[dialect.columns.name] for _, row in _rows(manifest, dialect) if len(row) > dialect.columns.name)
    return any(_names_a_recording(manifest, name) for name in names)


def read_table(manifest: ManifestFile) -> None:
    """Note what the rows of a table say: its columns are those declared, or of its header, or LJSpeech's.

    LJSpeech's are id|text or id|text|normalised text, which is preferred.
    """
    dialect = None
    with manifest.noting_problems():
        dialect = _dialect(manifest)
    if dialect is None:
        return
    for number, row in _rows(manifest, dialect):
        with manifest.noting_problems(number):
            _note_columns(manifest, number, row, dialect)


def _dialect(manifest: ManifestFile) -> Dialect | None:
    """Return the dialect of a table, None if it has no readable line.

    Raises: ConfigError if its columns are ambiguous.
    """
    config = manifest.config
    first = next(iter(manifest.first_lines(1)), None)
    if first is None:
        return Dialect(",", "none", LJSPEECH, has_header=False)  # to note the problems of its lines
    if config.columns is not None:
        return declared_dialect(first, config.separator, declared_columns(config.columns))
    if dialect := header_dialect(first, config.separator):
        return dialect
    if (problem := unknown_header(first)) and not _names_a_recording(manifest, first.split("|")[0].strip()):
        raise ConfigError(problem)
    lines = (line for _, line, problem in manifest.decoded_lines() if problem is None)
    if problem := ambiguous_columns(lines, config.separator or "|"):
        raise ConfigError(
            f"three columns without a header are read as id|text|normalised text, but {problem}: add a header line, or "
            "set manifest.columns, for example to id|speaker|text"
        )
    return Dialect(config.separator or "|", "none", LJSPEECH, has_header=False)


def _names_a_recording(manifest: ManifestFile, name: str) -> bool:
    try:
        paths = [path for _, path in seek_named(manifest, name)]
    except ConfigError:  # no name of a file of INPUT, or one of two
        return False
    return any(not path.lower().endswith(SIDECARS) and manifest_kind(os.fsdecode(path)) is None for path in paths)


def _rows(manifest: ManifestFile, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of each row below the header; a quoted column may go on over several lines."""
    lines = manifest.lines()
    waiting: deque[tuple[int, str]] = deque()
    is_header = dialect.has_header
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number, text = line
        row, taken = split_columns(text, dialect.separator, dialect.quoting), 0
        while row is None and taken < _MAX_QUOTED and len(text) < MAX_LINE:
            if taken == len(waiting):
                if (more := next(lines, None)) is None:
                    break
                waiting.append(more)
            text, taken = f"{text}\n{waiting[taken][1]}", taken + 1
            row = split_columns(text, dialect.separator, dialect.quoting)
        if row is None:
            manifest.add_problem("a quote that begins a column is never closed; double it, or close it", number)
            continue
        for _ in range(taken):
            waiting.popleft()
        if dialect.quoting == "needed" and row[min(dialect.columns.name, len(row) - 1)].startswith('"'):
            row = split_columns(text, dialect.separator, "always") or row  # no name wants quotes: all are the writer's
        if not is_header:
            yield number, row
        is_header = False


def _note_columns(manifest: ManifestFile, number: int, row: list[str], dialect: Dialect) -> None:
    """Note what a row says.

    Raises: ConfigError if that is nothing.
    """
    columns = dialect.columns
    while len(row) > len(columns.names) and not row[-1]:
        row.pop()
    if problem := wrong_count(row, dialect):
        raise ConfigError(problem)
    if not (name := row[columns.name]):
        raise ConfigError(f"no name of a recording in column {columns.names[columns.name]!r}, got {row!r:.80}")

    def cell(place: int | None) -> str | None:
        return as_text(row[place]) if place is not None and place < len(row) else None

    metadata = Metadata(
        text=next(filter(None, map(cell, columns.text)), None),
        speaker=cell(columns.speaker),
        licence=cell(columns.licence),
        consent=cell(columns.consent),
        language=cell(columns.language),
    )
    recordings = find_named(manifest, name, number)
    if recordings and metadata == Metadata():
        raise ConfigError(f"nothing is said of {name!r}: all other columns that are known are empty")
    for recording, _ in recordings:
        manifest.add_statement(recording, number, 0.0, metadata)


def read_jsonl(manifest: ManifestFile) -> None:
    """Note what the rows of a NeMo or lhotse manifest, or of one that names files otherwise, say; of any kind."""
    for number, line in manifest.lines():
        with manifest.noting_problems(number):
            _note_row(manifest, number, parse_row(line))


def _note_row(manifest: ManifestFile, number: int, row: NemoRow | Supervision | Cut | LhotseRecording) -> None:
    match row:
        case Supervision():  # perhaps of a recording in another manifest
            part, lhotse_id, end_s = row.part(row.start, number), encode_id(row.recording_id), row.end_s
            manifest.add_statement(None, number, row.start, row.metadata(), end_s=end_s, part=part, lhotse_id=lhotse_id)
            return
        case NemoRow():
            start_s = row.offset or 0.0
            name, statements = row.audio_filepath, [(start_s, row.end_s, row.metadata(), f"at {start_s}")]
        case Cut():
            name, statements = row.recording.sources[0].source, []
            for place, said in enumerate(row.supervisions):
                start_s = row.start + said.start
                end_s = end_of(start_s, said.duration)
                statements.append((start_s, end_s, said.metadata(), said.part(start_s, number, place)))
        case LhotseRecording():
            name, statements = row.sources[0].source, []
    recording = find_file(manifest, name, number)
    if isinstance(row, LhotseRecording):
        manifest.add_lhotse_id(encode_id(row.id), recording)
    if recording is not None:
        for start_s, end_s, metadata, part in statements or [(0.0, None, Metadata(), "")]:
            manifest.add_statement(recording, number, start_s, metadata, end_s=end_s, part=part)


def encode_id(text: str) -> bytes:
    """Return lhotse's id of a recording as the database holds it."""
    return text.encode("utf-8", "surrogatepass")
