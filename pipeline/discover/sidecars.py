"""Sidecars: NAME.txt and NAME.json beside a recording NAME.*, with its text or its metadata."""

import os
import sqlite3

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import as_text, parse_sidecar
from clean_corpus.pipeline.discover.names import one_form
from clean_corpus.pipeline.discover.recordings import SIDECARS, find_by_stem, printable, stem_of


def is_sidecar(db: sqlite3.Connection, path: bytes) -> bool:
    """Return whether a .txt or .json file lies beside a file of the same name that is neither."""
    if not path.lower().endswith(SIDECARS):
        return False
    return not all(other.lower().endswith(SIDECARS) for _, other in find_by_stem(db, stem_of(path)))


def read_sidecar(sidecar: ManifestFile) -> None:
    """Note what a sidecar says of the recordings of its name."""
    with sidecar.noting_problems():
        recordings = one_form(find_by_stem(sidecar.db, stem_of(sidecar.path)))
        for _, path in recordings:
            _refuse_second(sidecar, path)
        content, problem = sidecar.content(), None
        if sidecar.path.lower().endswith(b".txt"):
            metadata = Metadata(text=as_text(content))
        else:
            metadata, problem = parse_sidecar(content)
        for recording, _ in recordings:
            sidecar.add_statement(recording, 1, 0.0, metadata)
        if problem:
            sidecar.add_problem(problem)


def _refuse_second(sidecar: ManifestFile, recording: bytes) -> None:
    """Refuse a sidecar whose recording has another one that is nearer by name, or as near.

    Raises: ConfigError if there is one.
    """
    stem, suffix = stem_of(recording), os.path.splitext(sidecar.path)[1].lower()
    beside = sidecar.db.execute("SELECT path FROM found WHERE path > ? AND path < ?", (stem + b".", stem + b"/"))
    for (path,) in beside:
        if path != sidecar.path and stem_of(path) == stem and os.path.splitext(path)[1].lower() == suffix:
            other, own = ascii(printable(os.fsdecode(path))), printable(os.fsdecode(recording))
            raise ConfigError(f"{own!r} has the sidecar {other} too; keep one of them")
