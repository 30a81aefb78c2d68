"""Sidecars: beside a recording NAME.* its text (.txt), metadata (.json), or time stamps (.srt, .vtt, .TextGrid)."""

import os
import sqlite3
from collections.abc import Iterable, Sequence

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import as_text, parse_sidecar, require_duration
from clean_corpus.pipeline.discover.names import one_form
from clean_corpus.pipeline.discover.recordings import (
    SIDECARS,
    TIMED,
    Found,
    composed,
    find_by_stem,
    printable,
    sidecar_stems,
    stem_of,
)
from clean_corpus.pipeline.discover.subtitles import Cue, parse_labels, parse_subtitles
from clean_corpus.pipeline.discover.textgrids import parse_textgrid


def is_sidecar(db: sqlite3.Connection, path: bytes) -> bool:
    """Return whether a file of a sidecar's kind lies beside one of the same name that is of none."""
    if not path.lower().endswith(SIDECARS):
        return False
    return any(_recordings(db, stem) for stem in sidecar_stems(path))


def sidecar_rank(path: bytes) -> int:
    """Return the place of a sidecar's kind among those that speak of one recording: the later one counts."""
    return next(rank for rank, suffix in enumerate(SIDECARS) if path.lower().endswith(suffix))


def _recordings(db: sqlite3.Connection, stem: bytes) -> list[Found]:
    return [found for found in find_by_stem(db, stem) if not found[1].lower().endswith(SIDECARS)]


def read_sidecar(sidecar: ManifestFile) -> None:
    """Note what a sidecar says of the recordings of its name."""
    with sidecar.noting_problems():
        stem = _stem(sidecar.db, sidecar.path)
        recordings = one_form(find_by_stem(sidecar.db, stem))
        for _, path in recordings:
            _refuse_second(sidecar, stem, path)
        content, problem = sidecar.content(), None
        if (cues := _cues(sidecar, content)) is not None:
            _note_cues(sidecar, recordings, cues)
            return
        if sidecar.path.lower().endswith(b".txt"):
            metadata = Metadata(text=as_text(content))
        else:
            metadata, problem = parse_sidecar(content)
        for recording, _ in recordings:
            sidecar.add_statement(recording, 1, 0.0, metadata)
        if problem:
            sidecar.add_problem(problem)


def _cues(sidecar: ManifestFile, content: str) -> Iterable[Cue] | None:
    """Return the time-stamped texts of a sidecar, None if it is of a kind without.

    Raises: ConfigError if it is of a kind that has some, and cannot be read.
    """
    path = sidecar.path.lower()
    if path.endswith(b".textgrid"):
        return parse_textgrid(content, sidecar.config.tier)
    if path.endswith(TIMED):
        return parse_subtitles(content)
    return parse_labels(content) if path.endswith(b".txt") else None


def _note_cues(sidecar: ManifestFile, recordings: Sequence[Found], cues: Iterable[Cue]) -> None:
    for cue in cues:
        with sidecar.noting_problems(cue.line):
            require_duration(cue.start_s, cue.end_s)
            for recording, _ in recordings:
                says, part = Metadata(text=as_text(cue.text), speaker=as_text(cue.speaker)), f"line {cue.line}"
                sidecar.add_statement(recording, cue.line, cue.start_s, says, end_s=cue.end_s, part=part)


def _refuse_second(sidecar: ManifestFile, stem: bytes, recording: bytes) -> None:
    """Refuse a sidecar whose recording has another one of its kind that is nearer by name, or as near.

    Of NAME.vtt and NAME.en.vtt the first is nearer; NAME.de.vtt and NAME.en.vtt are as near.

    Raises: ConfigError if there is one.
    """
    suffix, own = os.path.splitext(sidecar.path)[1].lower(), _distance(sidecar.path, recording)
    beside = "SELECT path FROM found WHERE path > ? AND path < ? ORDER BY path"
    for start in {stem, stem_of(recording)}:
        for (path,) in sidecar.db.execute(beside, (start + b".", start + b"/")):  # in ASCII, / follows on .
            is_rival = path != sidecar.path and os.path.splitext(path)[1].lower() == suffix
            if is_rival and composed(_stem(sidecar.db, path)) == composed(stem) and _distance(path, recording) <= own:
                other, name = ascii(printable(os.fsdecode(path))), printable(os.fsdecode(recording))
                raise ConfigError(f"{name!r} has the sidecar {other} too; keep one of them")


def _stem(db: sqlite3.Connection, path: bytes) -> bytes:
    """Return the name without extension of the recordings that a sidecar is of."""
    stems = sidecar_stems(path)
    return next((stem for stem in stems if _recordings(db, stem)), stems[0])


def _distance(path: bytes, recording: bytes) -> tuple[bool, bool]:
    """Return how far a sidecar's name is from its recording's: by what stands in between, then by normalisation."""
    stem = stem_of(recording)
    return composed(stem_of(path)) != composed(stem), not path.startswith(stem + b".")
