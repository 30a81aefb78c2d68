"""A temporary folder that is removed with its process, even one that is killed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Waits for the end of the pipe, which comes when the process that holds the other end ends, however it does.
_REMOVER = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder that is removed when the block ends, or when this process is killed.

    Raises: OSError if it cannot be made.
    """
    folder = os.path.realpath(tempfile.mkdtemp(prefix="clean-corpus-"))
    command = [sys.executable, "-I", "-S", "-c", _REMOVER, folder]
    remover = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield Path(folder)
    finally:
        remover.communicate()
