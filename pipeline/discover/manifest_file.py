"""One manifest or sidecar on its way into the scratch database: its lines, its errors, and the tables it fills."""

import gzip
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata

TABLES = {
    # in the order in which later ones overrule
    "manifest": "number INTEGER PRIMARY KEY, path BLOB, folder BLOB, problems INTEGER DEFAULT 0, first TEXT",
    # what a line says of a recording, which is known by its number in `found`, or by lhotse's id of it
    "statement": (
        "recording INTEGER, id BLOB, manifest INTEGER, line INTEGER, start REAL, text, speaker, licence, consent"
    ),
    "missing": "path BLOB, manifest INTEGER, PRIMARY KEY (path, manifest)",
    "lhotse": "folder BLOB, id BLOB, recording INTEGER, PRIMARY KEY (folder, id)",
}


@dataclass
class ManifestFile:
    """A manifest or sidecar at a path below `base`; number and path are those of its row in table `manifest`."""

    db: sqlite3.Connection
    number: int
    path: bytes
    base: Path
    problems: int = 0
    first_problem: str | None = None

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
        return os.fsencode(self.base), os.fsencode(self.base.resolve())

    def add_problem(self, problem: str) -> None:
        """Count a problem, and keep the first one's text."""
        self.problems += 1
        self.first_problem = self.first_problem or problem.encode("utf-8", "backslashreplace").decode()

    @contextmanager
    def noting_problems(self, where: str = "") -> Iterator[None]:
        """Note errors of the block as the manifest's problems: a bad manifest, or a bad line, must not stop a run."""
        try:
            yield
        except ConfigError as error:
            self.add_problem(f"{where}{error}")
        except UnicodeDecodeError as error:
            self.add_problem(f"expected UTF-8: {error}")
        except (OSError, EOFError, zlib.error) as error:
            self.add_problem(f"cannot read: {getattr(error, 'strerror', None) or error}")

    def save_problems(self) -> None:
        """Write the problems to the manifest's row."""
        if self.problems:
            values = self.problems, self.first_problem, self.number
            self.db.execute("UPDATE manifest SET problems = ?, first = ? WHERE number = ?", values)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number, from 1, and the text of each line that is not blank, one in memory at a time."""
        opener = gzip.open if self.path.endswith(b".gz") else open
        with self.noting_problems(), opener(self.file, "rt", encoding="utf-8-sig") as file:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip())

    def add_statement(
        self, recording: int | None, line: int, start_s: float, says: Metadata, lhotse_id: bytes | None = None
    ) -> None:
        """Note what a line says of a recording, or of its part from `start_s` on."""
        values = recording, lhotse_id, self.number, line, start_s, says.text, says.speaker, says.licence, says.consent
        self.db.execute("INSERT INTO statement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def add_missing(self, path: bytes) -> None:
        """Note that the manifest names a path that was not found."""
        self.db.execute("INSERT OR IGNORE INTO missing VALUES (?, ?)", (path, self.number))
