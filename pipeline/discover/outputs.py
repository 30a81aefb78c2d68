"""Outputs of other runs, and exports, that lie in an input: what they hold was cleaned already, and is no recording."""

import logging
import os
import re
import sqlite3

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.discover.groups import KEY
from clean_corpus.pipeline.discover.recordings import printable

LOG = logging.getLogger("clean_corpus")

EXPORT_STATE = ".export"
"""The hidden folder of an export, in which it keeps what the next one needs of it."""
EXPORT_MARK = f"{EXPORT_STATE}/layout.json"
"""The file in it that every export begins with."""
_NAMED = 3
_MARK = re.compile(rf"(?P<folder>.*/|)(?:versions/\d{{4,}}/manifest\.json|{re.escape(KEY)})", re.DOTALL)
"""Files of a run's output: the manifest of a version, or the groups of recordings of a run that has not come so far."""


def is_hidden(path: str) -> bool:
    """Return whether a name below an input is passed over for a leading dot; the mark of an export is not.

    >>> is_hidden("a/.b/c.wav"), is_hidden("a/.export/card.json"), is_hidden("a/.export/layout.json")
    (True, True, False)
    """
    parts = f"/{path}".removesuffix(f"/{EXPORT_MARK}").split("/")
    return any(part.startswith(".") and part not in (".", "..") for part in parts)


def pass_over_outputs(db: sqlite3.Connection, root: Location) -> None:
    """Take all that lies in outputs of runs and in exports out of table `found`, and name these in the log.

    Their reports hold clips before and after enhancement, which would be cleaned and published once more; beside a clip
    of an export, its recording would be a copy. An export may be `root` itself, since that was asked for.
    Raises: ConfigError if `root` itself is such an output.
    """
    marked = "SELECT path FROM found WHERE instr(path, ?) OR instr(path, ?)"
    marks = db.execute(marked, (b"/manifest.json", KEY.encode()))
    folders = {match["folder"] for (path,) in marks if (match := _MARK.fullmatch(os.fsdecode(path)))}
    if "" in folders:
        raise ConfigError(
            f"input {root} is what a run wrote, its clips are cleaned already: give the recordings that it was made "
            "of, or what `clean-corpus export` makes of it"
        )
    _pass_over(db, root, folders, "what other runs wrote there")
    mark = EXPORT_MARK.encode()
    marks = db.execute("SELECT path FROM found WHERE substr(path, ?) = ?", (-len(mark) - 1, b"/" + mark))
    _pass_over(db, root, {os.fsdecode(path.removesuffix(mark)) for (path,) in marks}, "exports that lie there")
    db.execute("DELETE FROM found WHERE path = ?", (mark,))


def _pass_over(db: sqlite3.Connection, root: Location, folders: set[str], what: str) -> None:
    below = [(start := os.fsencode(folder), start[:-1] + b"0") for folder in sorted(folders)]  # 0 follows /
    db.executemany("DELETE FROM found WHERE path > ? AND path < ?", below)
    if folders:
        named = ", ".join(printable(folder) for folder in sorted(folders)[:_NAMED])
        more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
        LOG.warning("%s: passed over %s: %s%s", root, what, named, more)
