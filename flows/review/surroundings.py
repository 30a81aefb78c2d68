"""What lies around a clip in the recording that it was cut from, where INPUT is still there and the same."""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from clean_corpus.flows.review.sounds import Sound
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import PipelineConfig, S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder, parse_location
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import Store

MAX_S = 30.0  # on either side of a clip
NAME = "recording"  # of the local file, which says what it is by its bytes


class Surroundings:
    """Reads stretches of the recordings of a run's INPUT; of a bucket, the last recording stays as a local file.

    Only a recording whose bytes are those that the clip was cut from is read, so a ledger that names another file gets
    nothing of it.
    """

    def __init__(self, source: str, config: PipelineConfig, s3: S3Config) -> None:
        self._named, self._where = source, _location(source)
        self._store = None if self._where is None else open_store(self._where, s3)
        self._config = config
        self._known: dict[tuple[str, int, int], str] = {}
        self._copy: tuple[str, ScratchFolder] | None = None
        self._lock = threading.Lock()

    def is_there(self, row: Mapping[str, Any]) -> bool:
        """Return whether the recording of a clip is where the run found it, as far as a look tells."""
        if self._store is None or not row["source_sha256"] or not _is_plain(row["source"]):
            return False
        if isinstance(self._where, Path):
            return self._path(self._where, row["source"]).is_file()
        try:
            return self._store.size(row["source"]) is not None
        except CleanCorpusError:
            return False

    def around(self, row: Mapping[str, Any], seconds: float) -> tuple[Sound, float]:
        """Return a clip with what lies around it, as it was recorded, and where that begins in the recording, seconds.

        Raises: DataError if the recording is gone, is another one now, or cannot be decoded.
        """
        if not self.is_there(row):
            raise DataError(f"{row['source']}: the recording is not in INPUT {self._named} any more")
        rate, seconds = self._config.audio.sample_rate, min(max(seconds, 0.0), MAX_S)
        start_s = max(0.0, row["offset_s"] - seconds)
        end_s = row["offset_s"] + row["duration_s"] + (row["removed_s"] or 0.0) + seconds
        with self._lock, self._file(row) as path:
            x = self._stretch(path, row, round(start_s * rate), round(end_s * rate))
        if not x.size:
            raise DataError(f"{row['source']}: the recording ends before {start_s:.3f} s")
        return Sound(x * np.float32(10 ** ((row["input_gain_db"] or 0.0) / 20)), rate), start_s

    def _stretch(self, path: Path, row: Mapping[str, Any], start: int, end: int) -> np.ndarray:
        channel = row["channel"]
        update = {"channel": int(channel) if str(channel).isdecimal() else "mix", "allow_truncated": True}
        config = self._config.audio.model_copy(update=update)
        parts, at = [np.zeros(0, np.float32)], 0
        with decode.open_recording(path, config, log_messages=False) as reader:
            for block in reader.blocks():
                parts.append(block[max(0, start - at) : max(0, end - at)])
                at += len(block)
                if at >= end:
                    break
        return np.concatenate(parts)

    @contextmanager
    def _file(self, row: Mapping[str, Any]) -> Iterator[Path]:
        """Give the recording of a clip as a local file, its bytes compared with those that the clip was cut from."""
        source = row["source"]
        path = self._path(self._where, source) if isinstance(self._where, Path) else self._fetched(source)
        about = path.stat()
        name = source, about.st_size, about.st_mtime_ns
        if name not in self._known:
            with path.open("rb") as file:
                self._known[name] = hashlib.file_digest(file, "sha256").hexdigest()
        if self._known[name] != row["source_sha256"]:
            raise DataError(f"{source}: the recording in INPUT is another one than the clip was cut from")
        yield path

    def _fetched(self, source: str) -> Path:
        store: Store | None = self._store
        if store is None:
            raise DataError(f"{source}: INPUT is not known")
        if self._copy is None or self._copy[0] != source:
            if self._copy:
                self._copy[1].cleanup()
            self._copy = None
            folder = ScratchFolder()  # kept until the next
            with store.opened(source) as file, Path(folder.name, NAME).open("wb") as copy:
                shutil.copyfileobj(file, copy)
            self._copy = source, folder
        return Path(self._copy[1].name, NAME)

    def _path(self, where: Path, source: str) -> Path:
        return where if where.is_file() and where.name == source else where / source


def _location(source: str) -> Location | None:
    try:
        where = parse_location(source)
    except CleanCorpusError:
        return None
    return where if isinstance(where, S3Folder) or where.exists() else None


def _is_plain(source: str) -> bool:
    """Return whether a name stays below the folder that it is relative to."""
    return bool(source) and "\0" not in source and not source.startswith("/") and ".." not in source.split("/")
