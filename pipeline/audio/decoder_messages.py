"""Remarks that decoders write to standard error, kept from it so that they can be given with the file's name."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_STDERR = 2
_MAX = 100  # messages that are kept of one recording


@contextmanager
def collected(messages: list[str]) -> Iterator[None]:
    """Add to `messages`, once each, the lines that C libraries write to standard error in the block.

    The descriptor is the whole process's, so blocks of several threads wait for each other.
    """
    with _LOCK:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # a service without standard error
            yield
            return
        file = _buffer()
        os.dup2(file, _STDERR)
        try:
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            if os.fstat(file).st_size:
                lines = os.pread(file, 2**16, 0).decode("utf-8", "replace").splitlines()
                os.ftruncate(file, 0)
                os.lseek(file, 0, os.SEEK_SET)
                fresh = [line.strip() for line in lines if line.strip() and line.strip() not in messages]
                messages.extend(dict.fromkeys(fresh[: _MAX - len(messages)]))


_buffers: dict[int, int] = {}


def _buffer() -> int:
    """Return the descriptor of a temporary file without a name, one for each process."""
    if os.getpid() not in _buffers:
        if hasattr(os, "memfd_create"):  # Linux, where it needs no folder that can be written
            _buffers[os.getpid()] = os.memfd_create("decoder-messages")
        else:
            with tempfile.TemporaryFile() as file:
                _buffers[os.getpid()] = os.dup(file.fileno())
    return _buffers[os.getpid()]
