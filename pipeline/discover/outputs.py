"""Outputs of other runs that lie in an input: what they hold was cleaned already, and is no recording."""

import logging
import os
import re
import sqlite3

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.discover.groups import KEY
from clean_corpus.pipeline.discover.recordings import printable

LOG = logging.getLogger("clean_corpus")

_NAMED = 3
_MARK = re.compile(rf"(?P<folder>.*/|)(?:versions/\d{{4,}}/manifest\.json|{re.escape(KEY)})", re.DOTALL)
"""Files of a run's output: the manifest of a version, or the groups of recordings of a run that has not come so far."""


def pass_over_outputs(db: sqlite3.Connection, root: Location) -> None:
    """Take all that lies in outputs of runs out of table `found`, and name these outputs in the log.

    Their reports hold clips before and after enhancement, which would be cleaned and published once more.
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
    below = [(start := os.fsencode(folder), start[:-1] + b"0") for folder in sorted(folders)]  # 0 follows /
    db.executemany("DELETE FROM found WHERE path > ? AND path < ?", below)
    if folders:
        named = ", ".join(printable(folder) for folder in sorted(folders)[:_NAMED])
        more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
        LOG.warning("%s: passed over what other runs wrote there: %s%s", root, named, more)
