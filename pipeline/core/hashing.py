"""Hashes of values and of files, from which every content name is made."""

import hashlib
import json
from pathlib import Path


def canonical_json(value: object) -> bytes:
    """Spell a value in the one way that is hashed: sorted keys, no spaces, UTF-8.

    Raises: ValueError if a number is NaN or infinite.

    >>> canonical_json({"b": 1, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_name(*parts: object) -> str:
    """Return a name of 24 hexadecimal digits, made of everything that decides the content.

    >>> content_name("a", 1) == content_name("a", 1) != content_name("a", 2)
    True
    """
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:24]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in pieces.

    Raises: OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
