"""Folders of Kaldi: text, segments, wav.scp, utt2spk and utt2lang, which belong together by the ids in their lines."""

import os
import shlex
import sqlite3
from pathlib import Path

from clean_corpus.pipeline.core.config import ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.manifest_rows import as_text, require_duration
from clean_corpus.pipeline.discover.names import find_named, seek_named
from clean_corpus.pipeline.discover.recordings import find_by_path

KIND = "kaldi"
_READ = (b"text", b"segments", b"wav.scp", b"utt2spk", b"utt2lang")
_PASSED_OVER = (b"spk2utt", b"spk2gender", b"utt2dur", b"reco2dur", b"utt2num_frames", b"utt2uniq", b"frame_shift")
_MARKS = (b"wav.scp", b"segments", b"utt2spk")  # one of which lies beside `text`


def is_kaldi(db: sqlite3.Connection, path: bytes) -> bool:
    """Return whether a file is one of those of a Kaldi folder, which has a text, and a file that other texts have not.

    A folder without segments wants wav.scp or utt2spk, since any file may be called text.
    """
    folder, name = os.path.split(path)
    if name not in (*_READ, *_PASSED_OVER):
        return False
    has_text = bool(find_by_path(db, os.path.join(folder, b"text")))
    return has_text and any(find_by_path(db, os.path.join(folder, mark)) for mark in _MARKS)


def read_kaldi(manifest: ManifestFile) -> None:
    """Note the lines of one file of a Kaldi folder, and the recordings that wav.scp names."""
    name = os.path.basename(manifest.path)
    if name not in _READ:
        return
    for line, content in manifest.lines():
        with manifest.noting_problems(line):
            key, _, value = content.strip().partition(" ") if "\t" not in content else content.strip().partition("\t")
            if name == b"wav.scp":
                value = str(_recording(manifest, key, value.strip(), line))
            put = "INSERT OR IGNORE INTO kaldi VALUES (?, ?, ?, ?, ?, ?)"
            values = manifest.folder, name.decode(), key, value.strip(), manifest.number, line
            if not manifest.db.execute(put, values).rowcount:
                raise ConfigError(f"{key[:80]!r} stands in an earlier line already, which counts")
            manifest.used += 1


def _recording(manifest: ManifestFile, name: str, value: str, line: int) -> int | str:
    """Return the number of the recording that a line of wav.scp means, nothing if it is noted as missing.

    A command is not run: the recording is the file among its words that is there, or else the one that is called as
    the id says.
    """
    try:
        words = shlex.split(value.removesuffix("|")) if value.endswith("|") else [value]
    except ValueError:
        words = value.split()
    for word in (*reversed(words), *(os.path.basename(word) for word in reversed(words)), name):
        found = seek_named(manifest, word) if word and "://" not in word else []
        if len(found) == 1:
            return found[0][0]
    manifest.add_missing(os.path.join(manifest.folder, os.fsencode(os.path.basename(words[-1]) or name)), line)
    return ""


def resolve_kaldi(db: sqlite3.Connection, root: Location, config: ManifestConfig) -> None:
    """Give the recordings of Kaldi folders the texts of their utterances, with their times where segments has them."""
    texts = db.execute("SELECT number, path FROM manifest WHERE kind = ?", (KIND,)).fetchall()
    for number, path in texts:
        if os.path.basename(path) == b"text":
            _resolve(ManifestFile(db, number, path, Path(), root, config))


def _resolve(manifest: ManifestFile) -> None:
    of_utterance = "SELECT value FROM kaldi WHERE folder = text.folder AND name = '{}' AND key = text.key"
    rows = manifest.db.execute(
        f"SELECT line, key, value, ({of_utterance.format('segments')}), ({of_utterance.format('utt2spk')}), "
        f"({of_utterance.format('utt2lang')}), EXISTS (SELECT 1 FROM kaldi WHERE folder = text.folder AND "
        "name = 'segments') FROM kaldi AS text WHERE manifest = ? ORDER BY line",
        (manifest.number,),
    )
    for line, key, text, segment, speaker, language, has_segments in rows:
        with manifest.noting_problems(line):
            says = Metadata(text=as_text(text), speaker=speaker, language=language)
            if segment is None and has_segments:
                raise ConfigError(f"utterance {key[:80]!r} has no line in segments")
            name, start_s, end_s = (key, 0.0, None) if segment is None else _times(key, segment)
            for recording in _recordings(manifest, name, line):
                part = "" if end_s is None else f"utterance {key}"
                manifest.add_statement(recording, line, start_s, says, end_s=end_s, part=part)
    manifest.save_use()


def _times(key: str, segment: str) -> tuple[str, float, float]:
    """Return the recording, start and end in seconds of a line of segments; an end of -1 is that of the recording."""
    try:
        name, start, end = segment.split()[:3]
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise ConfigError(f"segments has {segment[:80]!r} of {key[:80]!r}, expected recording, start, end") from None
    end_s = 1e9 if end_s == -1 else end_s
    require_duration(start_s, end_s)
    return name, start_s, end_s


def _recordings(manifest: ManifestFile, name: str, line: int) -> list[int]:
    query = "SELECT value FROM kaldi WHERE folder = ? AND name = 'wav.scp' AND key = ?"
    known = manifest.db.execute(query, (manifest.folder, name)).fetchone()
    if known is None:
        return [number for number, _ in find_named(manifest, name, line)]
    return [int(known[0])] if known[0] else []
