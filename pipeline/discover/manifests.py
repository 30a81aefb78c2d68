"""Metadata of recordings from all manifests and sidecars of the input, merged in the scratch database."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from clean_corpus.pipeline.core.types import Metadata, overlay
from clean_corpus.pipeline.discover.manifest_file import TABLES, ManifestFile
from clean_corpus.pipeline.discover.manifest_formats import is_ljspeech, is_manifest, read_jsonl, read_ljspeech
from clean_corpus.pipeline.discover.sidecars import is_sidecar, read_sidecar

Fetch = Callable[[Sequence[str]], AbstractContextManager[Path]]
"""Paths -> a context that gives the folder below which these files lie for the length of the block."""

_WINDOW = 256  # manifests and sidecars that are local at a time


def read_all(db: sqlite3.Connection, fetch: Fetch, *, only: str | None = None) -> None:
    """Read every manifest and sidecar among the files in table `found`, and write there what they say.

    They lose their own rows unless they are malformed; a file that they name and that is absent gets one. With `only`,
    just the recordings that this manifest names are left.

    Names in a manifest are relative to its folder, or to the input, or absolute below the input. LJSpeech's third
    column, the normalised text, is preferred to the second. If one manifest says several things of a recording (lhotse
    supervisions, NeMo rows with offsets) the texts are joined in time order, and other fields are kept if all agree.
    Of two manifests the later one by name overrules field by field, and sidecars overrule both.
    """
    for name, columns in TABLES.items():
        db.execute(f"CREATE TABLE {name} ({columns})")
    _select_files(db)
    last, query = 0, "SELECT number, path FROM manifest WHERE number > ? ORDER BY number LIMIT ?"
    while window := db.execute(query, (last, _WINDOW)).fetchall():
        with fetch([os.fsdecode(path) for _, path in window]) as base:
            for number, path in window:
                _read(ManifestFile(db, number, path, base))
        last = window[-1][0]
    encoded = None if only is None else os.fsencode(only)
    _resolve_lhotse_ids(db)
    _write_metadata(db, encoded)
    _write_missing(db, encoded)
    _write_problems(db, encoded)
    for name in TABLES:
        db.execute(f"DROP TABLE {name}")


def _select_files(db: sqlite3.Connection) -> None:
    """Fill table `manifest` with the manifests by name, then the sidecars, which are no recordings from now on."""
    kinds = (
        ("", lambda path: is_manifest(os.fsdecode(path))),
        ("DESC", lambda path: is_sidecar(db, path)),  # .json after .txt
    )
    for order, is_kind in kinds:
        found = db.execute(f"SELECT path FROM found WHERE listed AND error IS NULL ORDER BY path {order}")
        paths = ((path, os.path.dirname(path)) for (path,) in found if is_kind(path))
        db.executemany("INSERT INTO manifest (path, folder) VALUES (?, ?)", paths)
        db.execute("UPDATE found SET listed = 0 WHERE path IN (SELECT path FROM manifest)")


def _read(manifest: ManifestFile) -> None:
    path = os.fsdecode(manifest.path)
    if is_ljspeech(path):
        read_ljspeech(manifest)
    elif is_manifest(path):
        read_jsonl(manifest)
    else:
        read_sidecar(manifest)
    manifest.save_problems()


def _resolve_lhotse_ids(db: sqlite3.Connection) -> None:
    """Give lhotse's statements the recordings that their ids mean in their folder; unknown ids are problems."""
    known = "FROM manifest JOIN lhotse USING (folder) WHERE number = statement.manifest AND lhotse.id = statement.id"
    unknown = db.execute(
        "SELECT statement.manifest, count(*), min(line), id FROM statement "
        f"WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 {known}) GROUP BY statement.manifest"
    )
    for manifest, count, line, name in unknown.fetchall():
        first = f"line {line}: no recording in this folder's manifests has id {name.decode(errors='surrogatepass')!r}"
        note = "UPDATE manifest SET problems = problems + ?, first = coalesce(first, ?) WHERE number = ?"
        db.execute(note, (count, first, manifest))
    db.execute(f"UPDATE statement SET recording = (SELECT recording {known}) WHERE id IS NOT NULL")


def _write_metadata(db: sqlite3.Connection, only: bytes | None) -> None:
    """Write the merged metadata to the recordings' rows; with `only`, other recordings are listed no more."""
    if only is not None:
        db.execute("UPDATE found SET listed = 0")
    statements = db.execute(
        "SELECT recording, path, text, speaker, licence, consent FROM statement "
        "CROSS JOIN manifest ON number = manifest "
        "WHERE recording IS NOT NULL ORDER BY recording, manifest, start, line, statement.rowid"
    )
    for recording, rows in groupby(statements, key=itemgetter(0)):
        metadata, listed = Metadata(), only is None
        for path, rows_of_manifest in groupby(rows, key=itemgetter(1)):
            parts = [Metadata(*row[2:]) for row in rows_of_manifest]
            metadata = overlay(metadata, parts[-1] if is_ljspeech(os.fsdecode(path)) else _merge_parts(parts))
            listed = listed or path == only
        db.execute(
            "UPDATE found SET text = ?, speaker = ?, licence = ?, consent = ?, listed = ? WHERE number = ?",
            (metadata.text, metadata.speaker, metadata.licence, metadata.consent, listed, recording),
        )


def _write_missing(db: sqlite3.Connection, only: bytes | None) -> None:
    """Give every file that a manifest names and that is absent a row with an error."""
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


def _write_problems(db: sqlite3.Connection, only: bytes | None) -> None:
    """List every malformed manifest again, with its first problem as the error."""
    query = "SELECT path, problems, first FROM manifest WHERE problems AND (?1 IS NULL OR path = ?1)"
    for path, problems, first in db.execute(query, (only,)):
        others = f" (and {problems - 1} more)" if problems > 1 else ""
        error = f"malformed manifest: {first}{others}"
        db.execute("UPDATE found SET error = ?, listed = 1 WHERE path = ?", (error, path))


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _merge_parts(parts: Sequence[Metadata]) -> Metadata:
    """Merge what one manifest says of the parts of a recording, in time order: texts joined, other fields if equal."""
    agreed = {}
    for name in ("speaker", "licence", "consent"):
        values = {getattr(metadata, name) for metadata in parts} - {None}
        agreed[name] = values.pop() if len(values) == 1 else None
    return Metadata(text=" ".join(metadata.text for metadata in parts if metadata.text) or None, **agreed)
