"""Sidecars: NAME.txt and NAME.json beside a recording NAME.*, with its text or its metadata."""

import os
import sqlite3

from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import MetadataRow, as_text, parse_row
from clean_corpus.pipeline.discover.recordings import find_by_stem

SUFFIXES = (b".txt", b".json")


def is_sidecar(db: sqlite3.Connection, path: bytes) -> bool:
    """Return whether a .txt or .json file lies beside a file of the same name that is neither."""
    if not path.endswith(SUFFIXES):
        return False
    beside = find_by_stem(db, os.path.splitext(path)[0])
    return not all(other.endswith(SUFFIXES) for _, other in beside)


def read_sidecar(sidecar: ManifestFile) -> None:
    """Note what a sidecar says of the recordings of its name."""
    with sidecar.noting_problems():
        content = sidecar.file.read_text("utf-8-sig")
        is_text = sidecar.path.endswith(b".txt")
        metadata = Metadata(text=as_text(content)) if is_text else parse_row(content, MetadataRow).metadata()
        for recording, _ in find_by_stem(sidecar.db, os.path.splitext(sidecar.path)[0]):
            sidecar.add_statement(recording, 1, 0.0, metadata)
