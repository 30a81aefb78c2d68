"""Metadata of recordings from all manifests and sidecars of the input, merged in the scratch database."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.types import Metadata, TimedText, overlay
from clean_corpus.pipeline.discover import unresolved
from clean_corpus.pipeline.discover.kaldi import KIND, is_kaldi, read_kaldi, resolve_kaldi
from clean_corpus.pipeline.discover.manifest_file import TABLES, ManifestFile
from clean_corpus.pipeline.discover.manifest_formats import is_manifest, manifest_kind, read_jsonl, read_table
from clean_corpus.pipeline.discover.recordings import segments_as_json
from clean_corpus.pipeline.discover.sidecars import is_sidecar, read_sidecar, sidecar_rank
from clean_corpus.pipeline.discover.statements import Statement, merge_statements

Fetch = Callable[[Sequence[str]], AbstractContextManager[Path]]
"""Paths -> a context that gives the folder below which these files lie for the length of the block."""

_WINDOW = 256  # manifests and sidecars that are local at a time
_SIDECAR = "sidecar"
_READERS = {"table": read_table, "jsonl": read_jsonl, KIND: read_kaldi, _SIDECAR: read_sidecar}


def read_all(
    db: sqlite3.Connection,
    fetch: Fetch,
    *,
    root: Location,
    only: str | None = None,
    config: ManifestConfig = DEFAULT_MANIFEST,
) -> None:
    """Read every manifest and sidecar among the files in table `found`, and write there what they say.

    They lose their own rows unless something is wrong with them; each line that came to nothing, and each file that
    they name and that is absent, gets one. With `only`, just the recordings that this manifest names are left.

    If one manifest says several things of a recording (lhotse supervisions, NeMo rows with offsets) the texts are
    joined in time order, and other fields are kept if all agree; see statements.py. Of two manifests the later one by
    name overrules field by field, which is noted if it changes a text, and sidecars overrule both. So it is with the
    time-stamped texts of a recording: all of them are of one manifest.
    """
    for name, columns in TABLES.items():
        db.execute(f"CREATE TABLE {name} ({columns})")
    encoded = None if only is None else os.fsencode(only)
    _recognise(db, fetch, root, encoded, config)
    _select_sidecars(db)
    for number, path, kind, base in _each(db, fetch, "SELECT number, path, kind FROM manifest"):
        manifest = ManifestFile(db, number, path, base, root, config)
        _READERS[kind.removeprefix("maybe ")](manifest)
        manifest.save_use()
    unresolved.resolve_lhotse_ids(db)
    resolve_kaldi(db, root, config)
    _write_metadata(db, encoded)
    unresolved.write_missing(db, encoded)
    unresolved.write_problems(db, encoded)
    for name in TABLES:
        db.execute(f"DROP TABLE {name}")


def _recognise(
    db: sqlite3.Connection, fetch: Fetch, root: Location, only: bytes | None, config: ManifestConfig
) -> None:
    """Fill table `manifest` with the manifests by name, which are no recordings from now on."""
    db.execute("CREATE TABLE maybe (number INTEGER PRIMARY KEY, path BLOB, kind TEXT, sure INTEGER DEFAULT 0)")
    listed = db.execute("SELECT path FROM found WHERE listed AND error IS NULL ORDER BY path")
    for (path,) in listed:
        kind = KIND if is_kaldi(db, path) else manifest_kind(os.fsdecode(path), config)
        if kind and not (kind == "maybe jsonl" and path != only and is_sidecar(db, path)):
            sure = path == only or not kind.startswith("maybe")
            db.execute("INSERT INTO maybe (path, kind, sure) VALUES (?, ?, ?)", (path, kind, sure))
    for number, path, kind, base in _each(db, fetch, "SELECT number, path, kind FROM maybe", "AND NOT sure"):
        if is_manifest(ManifestFile(db, 0, path, base, root, config), kind):
            db.execute("UPDATE maybe SET sure = 1 WHERE number = ?", (number,))
    db.execute("DELETE FROM problem")  # of lines that were looked at: noted again when they are read
    put = "INSERT INTO manifest (path, folder, kind) VALUES (?, ?, ?)"
    known = db.execute("SELECT path, kind FROM maybe WHERE sure ORDER BY number")
    db.executemany(put, ((path, os.path.dirname(path), kind) for path, kind in known))
    db.execute("UPDATE found SET listed = 0 WHERE path IN (SELECT path FROM manifest)")
    db.execute("DROP TABLE maybe")


def _select_sidecars(db: sqlite3.Connection) -> None:
    """Add the sidecars to table `manifest`, kind after kind; they are no recordings from now on."""
    db.execute("CREATE TABLE beside (rank INTEGER, path BLOB, PRIMARY KEY (rank, path)) WITHOUT ROWID")
    found = db.execute("SELECT path FROM found WHERE listed AND error IS NULL")
    sidecars = ((sidecar_rank(path), path) for (path,) in found if is_sidecar(db, path))
    db.executemany("INSERT INTO beside VALUES (?, ?)", sidecars)
    ordered = db.execute("SELECT path FROM beside ORDER BY rank, path")
    put = "INSERT INTO manifest (path, folder, kind) VALUES (?, ?, ?)"
    db.executemany(put, ((path, os.path.dirname(path), _SIDECAR) for (path,) in ordered))
    db.execute("DROP TABLE beside")
    db.execute("UPDATE found SET listed = 0 WHERE path IN (SELECT path FROM manifest)")


def _each(
    db: sqlite3.Connection, fetch: Fetch, select: str, condition: str = ""
) -> Iterator[tuple[int, bytes, str, Path]]:
    """Yield the rows of a table of manifests with the folder below which their files lie, a window at a time."""
    last, query = 0, f"{select} WHERE number > ? {condition} ORDER BY number LIMIT ?"
    while window := db.execute(query, (last, _WINDOW)).fetchall():
        with fetch([os.fsdecode(path) for _, path, _ in window]) as base:
            for row in window:
                yield *row, base
        last = window[-1][0]


def _write_metadata(db: sqlite3.Connection, only: bytes | None) -> None:
    """Write the merged metadata to the recordings' rows; with `only`, other recordings are listed no more."""
    if only is not None:
        db.execute("UPDATE found SET listed = 0")
    statements = db.execute(
        "SELECT recording, number, path, kind, line, part, start, stop, text, speaker, licence, consent, language "
        "FROM statement "
        "CROSS JOIN manifest ON number = manifest "
        "WHERE recording IS NOT NULL ORDER BY recording, manifest, start, line, statement.rowid"
    )
    for recording, rows in groupby(statements, key=itemgetter(0)):
        metadata, segments, listed = Metadata(), tuple[TimedText, ...](), only is None
        text_from: tuple[int, int] | None = None  # number of the manifest, and its line
        for (number, path, kind), rows_of_manifest in groupby(rows, key=itemgetter(1, 2, 3)):
            told = [Statement(row[4], row[5], Metadata(*row[8:]), *row[6:8]) for row in rows_of_manifest]
            says, timed, contradictions = merge_statements(told)
            segments = timed or segments
            for contradiction in contradictions:
                words = f"{unresolved.source_of(db, recording)!r}: {contradiction.words}"
                db.execute("INSERT INTO problem VALUES (?, ?, ?)", (number, contradiction.line, words))
            if says.text is not None and kind != _SIDECAR:
                if text_from is not None and says.text != metadata.text:
                    unresolved.note_overruled(db, *text_from, by=number)
                text_from = number, told[0].line
            metadata = overlay(metadata, says)
            listed = listed or path == only
        db.execute(
            "UPDATE found SET text = ?, speaker = ?, licence = ?, consent = ?, language = ?, segments = ?, listed = ? "
            "WHERE number = ?",
            (*vars(metadata).values(), segments_as_json(segments), listed, recording),
        )
