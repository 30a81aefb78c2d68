"""Keys of recordings that two of them share: the later one is refused, with the other's name."""

import os
import sqlite3

import numpy as np

from clean_corpus.pipeline.core import types
from clean_corpus.pipeline.core.types import path_digest


def refuse_shared_keys(db: sqlite3.Connection) -> None:
    """Give every recording whose key has the digits of an earlier one's an error that names both.

    Keys name clips in shards, where one would take the place of the other. Memory holds 8 bytes a recording.
    """
    digits = np.fromiter((_digits(path) for (path,) in db.execute("SELECT path FROM found WHERE listed")), np.uint64)
    digits.sort()
    repeated = set(digits[1:][digits[1:] == digits[:-1]].tolist())
    if not repeated:
        return
    first: dict[int, str] = {}
    shared = [
        (number, source, found)
        for number, path, source in db.execute("SELECT number, path, source FROM found WHERE listed ORDER BY path")
        if (found := _digits(path)) in repeated
    ]
    for number, source, found in shared:
        other = first.setdefault(found, source)
        if other != source:
            error = f"key taken: {found:0{types.KEY_DIGITS}x} ends the key of {other} too; rename one of the two"
            db.execute("UPDATE found SET shares_key = 1, error = coalesce(error, ?) WHERE number = ?", (error, number))


def _digits(path: bytes) -> int:
    return int(path_digest(os.fsdecode(path))[: types.KEY_DIGITS], 16)
