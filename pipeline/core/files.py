"""Files that are written whole: under a temporary name beside, then renamed, with the permissions the umask leaves."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def new_file(folder: Path) -> Iterator[BinaryIO]:
    """Give the block a new file in `folder`, open for reading and writing; it is removed unless it was renamed.

    Unlike a file of tempfile's, which only its owner can read, its permissions are those of any new file; none are
    set, which not every file system allows. It is hidden, so no discovery takes it for a recording.

    Raises: OSError if it cannot be made.
    """
    path = folder / f".{secrets.token_hex(8)}.part"
    with path.open("x+b") as file:
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process dies; one of that name is replaced.

    Raises: OSError if it cannot be written.
    """
    with new_file(path.parent) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        os.replace(file.name, path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON to a file that is there whole or not at all.

    Raises: OSError if it cannot be written.
    """
    write_whole(path, (json.dumps(data, indent=2) + "\n").encode())
