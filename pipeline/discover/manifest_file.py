"""One manifest or sidecar on its way into the scratch database: its lines, its errors, and the tables it fills."""

import gzip
import io
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.text_lines import Limited, decode_text, decoded_lines

TABLES = {
    # in the order in which later ones overrule; `used` counts what its lines name or say
    "manifest": "number INTEGER PRIMARY KEY, path BLOB, folder BLOB, kind TEXT, used INTEGER DEFAULT 0",
    # what a line says of a recording, which is known by its number in `found`, or by lhotse's id of it; of two
    # statements of one part of it, at most one can be right
    "statement": (
        "recording INTEGER, id BLOB, manifest INTEGER, line INTEGER, start REAL, stop REAL, part TEXT, "
        "text, speaker, licence, consent, language"
    ),
    "problem": "manifest INTEGER, line INTEGER, words TEXT",  # line NULL: of the whole file
    "missing": "path BLOB, manifest INTEGER, line INTEGER, PRIMARY KEY (path, manifest)",
    "lhotse": "folder BLOB, id BLOB, recording INTEGER, clashes INTEGER DEFAULT 0, PRIMARY KEY (folder, id)",
    # the lines of Kaldi's files, by folder, file and the id that they begin with
    "kaldi": (
        "folder BLOB, name TEXT, key TEXT, value TEXT, manifest INTEGER, line INTEGER, PRIMARY KEY (folder, name, key)"
    ),
    # of a manifest whose text for some recordings is another than that of one which counts more
    "overruled": "manifest INTEGER, by INTEGER, count INTEGER, line INTEGER, PRIMARY KEY (manifest, by)",
}


@dataclass
class ManifestFile:
    """A manifest or sidecar at a path below `base`; number and path are those of its row in table `manifest`.

    `root` is INPUT, whose local copy `base` is, or which it is itself.
    """

    db: sqlite3.Connection
    number: int
    path: bytes
    base: Path
    root: Location
    config: ManifestConfig = DEFAULT_MANIFEST
    used: int = 0

    @property
    def file(self) -> Path:
        """The local file."""
        return self.base / os.fsdecode(self.path)

    @cached_property
    def folder(self) -> bytes:
        """The folder that names in the manifest are relative to, itself relative to the input."""
        return os.path.dirname(self.path)

    @cached_property
    def roots(self) -> tuple[bytes, bytes]:
        """The input's absolute path, with which an absolute name in the manifest may begin, as given and resolved."""
        return os.fsencode(self.base.absolute()), os.fsencode(self.base.resolve())

    def add_problem(self, problem: str, line: int | None = None) -> None:
        """Note a problem of a line, or of the whole file."""
        printable = problem.encode("utf-8", "backslashreplace").decode()
        self.db.execute("INSERT INTO problem VALUES (?, ?, ?)", (self.number, line, printable))

    @contextmanager
    def noting_problems(self, line: int | None = None) -> Iterator[None]:
        """Note errors of the block as the manifest's problems: a bad manifest, or a bad line, must not stop a run."""
        try:
            yield
        except ConfigError as error:
            self.add_problem(str(error), line)
        except (OSError, EOFError, zlib.error) as error:
            self.add_problem(f"cannot read: {getattr(error, 'strerror', None) or error}", line)

    def save_use(self) -> None:
        """Write to the manifest's row how much of it was used."""
        self.db.execute("UPDATE manifest SET used = ? WHERE number = ?", (self.used, self.number))

    def decoded_lines(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the number, from 1, the text, and None or the problem of each line that is not blank, one at a time.

        Raises: OSError, EOFError, zlib.error if the file cannot be read; ConfigError if it is too large.
        """
        opener = gzip.open if self.path.lower().endswith(b".gz") else open
        with opener(self.file, "rb") as file, io.BufferedReader(Limited(file, self.config.max_mb * 2**20)) as limited:
            yield from decoded_lines(limited, self.config.encoding, self.config.max_lines)

    def first_lines(self, count: int) -> list[str]:
        """Return the first few readable lines that are not blank; none if the file cannot be read."""
        found: list[str] = []
        try:
            for _, line, problem in self.decoded_lines():
                found += [line] if problem is None else []
                if len(found) == count:
                    break
        except (ConfigError, OSError, EOFError, zlib.error):
            pass
        return found

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield number and text of each readable line that is not blank, and note the problems of the others."""
        with self.noting_problems():
            for number, line, problem in self.decoded_lines():
                if problem is None:
                    yield number, line
                else:
                    self.add_problem(problem, number)

    def content(self) -> str:
        """Return the whole text of a sidecar.

        Raises: ConfigError if it is too large for one, or is in another encoding.
        """
        with open(self.file, "rb") as file:
            data = file.read(self.config.max_sidecar_kb * 1024 + 1)
        if len(data) > self.config.max_sidecar_kb * 1024:
            limit = f"manifest.max_sidecar_kb, {self.config.max_sidecar_kb} KiB"
            raise ConfigError(f"larger than {limit}, and not read; is it the text of one recording?")
        text, problem = decode_text(data, self.config.encoding)
        if problem is not None:
            raise ConfigError(problem)
        return text

    def add_statement(
        self,
        recording: int | None,
        line: int,
        start_s: float,
        says: Metadata,
        *,
        end_s: float | None = None,
        part: str = "",
        lhotse_id: bytes | None = None,
    ) -> None:
        """Note what a line says of a recording, or of its part from `start_s` to `end_s`, if the end is known."""
        self.used += 1
        fields = says.text, says.speaker, says.licence, says.consent, says.language
        values = recording, lhotse_id, self.number, line, start_s, end_s, part, *fields
        self.db.execute(f"INSERT INTO statement VALUES ({', '.join('?' * len(values))})", values)

    def add_missing(self, path: bytes, line: int) -> None:
        """Note that a line names a path that was not found."""
        self.used += 1
        self.db.execute("INSERT OR IGNORE INTO missing VALUES (?, ?, ?)", (path, self.number, line))

    def add_lhotse_id(self, name: bytes, recording: int | None) -> None:
        """Note which recording lhotse's id means in this folder.

        Raises: ConfigError if it means another one already.
        """
        self.used += 1
        query = "SELECT recording FROM lhotse WHERE folder = ? AND id = ?"
        known = self.db.execute(query, (self.folder, name)).fetchone()
        clashes = known is not None and None not in (known[0], recording) and known[0] != recording
        if known is None or known[0] is None:
            self.db.execute("INSERT OR REPLACE INTO lhotse VALUES (?, ?, ?, 0)", (self.folder, name, recording))
        if clashes:
            self.db.execute("UPDATE lhotse SET clashes = 1 WHERE folder = ? AND id = ?", (self.folder, name))
            raise ConfigError(f"id {name.decode(errors='replace')!r} is another recording's in this folder already")
