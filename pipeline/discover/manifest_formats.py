"""Formats of manifests: LJSpeech's metadata.csv, and JSON lines of NeMo and lhotse."""

import os

from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import Cut, LhotseRecording, NemoRow, Supervision, parse_row
from clean_corpus.pipeline.discover.recordings import find_by_path, find_by_start


def is_manifest(path: str) -> bool:
    """Return whether a file is a manifest by its name: metadata.csv, *.jsonl, *.jsonl.gz.

    >>> is_manifest("a/metadata.csv"), is_manifest("cuts.jsonl.gz"), is_manifest("a.csv")
    (True, True, False)
    """
    return is_ljspeech(path) or path.endswith((".jsonl", ".jsonl.gz"))


def is_ljspeech(path: str) -> bool:
    """Return whether a file is an LJSpeech manifest by its name."""
    return os.path.basename(path) == "metadata.csv"


def read_ljspeech(manifest: ManifestFile) -> None:
    """Note the texts of id|text or id|text|normalised text, which is preferred; audio lies in wavs/ or beside."""
    for number, line in manifest.lines():
        name, *texts = (column.strip() for column in line.split("|"))
        if not name or not texts:
            manifest.add_problem(f"line {number}: expected id|text, got {line[:80]!r}")
            continue
        folders = (manifest.folder, os.path.join(manifest.folder, b"wavs"))
        candidates = [os.path.normpath(os.path.join(folder, encode_name(name))) for folder in folders]
        recordings = [
            recording
            for candidate in candidates
            for recording, path in find_by_start(manifest.db, candidate)
            if candidate in (path, os.path.splitext(path)[0])
        ]
        if not recordings:
            manifest.add_missing(candidates[0])
        text = next((text for text in reversed(texts[:2]) if text), None)
        for recording in recordings:
            manifest.add_statement(recording, number, 0.0, Metadata(text=text))


def read_jsonl(manifest: ManifestFile) -> None:
    """Note what the rows of a NeMo or lhotse manifest say, of any kind in any order."""
    for number, line in manifest.lines():
        row = None
        with manifest.noting_problems(f"line {number}: "):
            row = parse_row(line)
        if row is not None:
            _note_row(manifest, number, row)


def _note_row(manifest: ManifestFile, number: int, row: NemoRow | Supervision | Cut | LhotseRecording) -> None:
    match row:
        case Supervision():  # perhaps of a recording in another manifest
            manifest.add_statement(None, number, row.start, row.metadata(), encode_id(row.recording_id))
            return
        case NemoRow():
            name, statements = row.audio_filepath, [(row.offset or 0.0, row.metadata())]
        case Cut():
            name = row.recording.sources[0].source
            statements = [(supervision.start, supervision.metadata()) for supervision in row.supervisions]
        case LhotseRecording():
            name, statements = row.sources[0].source, []
    recording = _find_recording(manifest, encode_name(name))
    if isinstance(row, LhotseRecording):
        values = manifest.folder, encode_id(row.id), recording
        manifest.db.execute("INSERT OR REPLACE INTO lhotse VALUES (?, ?, ?)", values)
    if recording is not None:
        for start_s, metadata in statements or [(0.0, Metadata())]:
            manifest.add_statement(recording, number, start_s, metadata)


def _find_recording(manifest: ManifestFile, name: bytes) -> int | None:
    """Return the number of the recording that a name means; if there is none, note it as missing and return None."""
    candidates = [os.path.join(manifest.folder, name), name]
    if os.path.isabs(name):
        candidates = [os.path.relpath(name, root) for root in manifest.roots]
    candidates = list(map(os.path.normpath, candidates))
    for path in candidates:
        if (number := find_by_path(manifest.db, path)) is not None:
            return number
    manifest.add_missing(candidates[0])
    return None


def encode_name(name: str) -> bytes:
    """Return a file's name as the operating system has it."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # JSON may escape half a surrogate pair, which no name holds
        return name.encode("utf-8", "backslashreplace")


def encode_id(text: str) -> bytes:
    """Return lhotse's id of a recording as the database holds it."""
    return text.encode("utf-8", "surrogatepass")
