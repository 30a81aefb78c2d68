"""Errors that a user can act on: each message names the thing, the two values that disagree and the remedy."""

import difflib
from collections.abc import Iterable


class CleanCorpusError(Exception):
    """Base of every error that is reported without a traceback."""


class ConfigError(CleanCorpusError):
    """A setting or an argument is wrong, and nothing was started. Exit code 2."""


class DataError(CleanCorpusError):
    """A recording, a shard or a set of them cannot be used."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" for the closest known word, or an empty string.

    >>> nearest("cgcnr", ["cgcrn", "crn"])
    "; did you mean 'cgcrn'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
