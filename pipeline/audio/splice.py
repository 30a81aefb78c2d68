"""Parts of a file, each a recording of its own, and views of them as files that decoders read."""

import io
import os
import re
from dataclasses import dataclass
from typing import BinaryIO

WINDOW = 2**20  # bytes that scans of a file read at once
STRAY = 4096  # bytes behind the last recording that are no loss: broken tags, a frame that is cut off
_LONGEST = 64  # bytes of a pattern


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end` of a file, which are a recording of their own once `head` stands before them.

    `share` is the share that is there of what its header announces. With a `problem` there is nothing to be read, and
    the recording fails where this part would begin.
    """

    start: int
    end: int
    head: bytes = b""
    share: float = 1.0
    problem: str | None = None


class Splice(io.RawIOBase):
    """A part of a file as a file of its own.

    A read error of the disk is kept as `error` and ends the file, since libsndfile hands no exception on.
    """

    def __init__(self, file: BinaryIO, part: Part) -> None:
        super().__init__()
        self._descriptor = file.fileno()
        self._part = part
        self._position = 0
        self.size = len(part.head) + part.end - part.start
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        head = self._part.head
        if self._position < len(head):
            data = head[self._position : self._position + len(view)]
        else:
            offset = self._part.start + self._position - len(head)
            try:
                data = os.pread(self._descriptor, max(0, min(len(view), self._part.end - offset)), offset)
            except OSError as error:
                self.error, data = error, b""
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def skip_zeros(file: BinaryIO, position: int, end: int) -> int:
    """Return the position of the first byte that is not zero, or `end`."""
    while position < end and (data := os.pread(file.fileno(), min(WINDOW, end - position), position)):
        rest = data.lstrip(b"\0")
        position += len(data) - len(rest)
        if rest:
            return position
    return end


def find_pattern(file: BinaryIO, pattern: re.Pattern[bytes], position: int, end: int) -> int:
    """Return the position of the first match of a pattern of at most 64 bytes, `end` if there is none."""
    while position < end and (data := os.pread(file.fileno(), min(WINDOW, end - position), position)):
        if found := pattern.search(data):
            return position + found.start()
        position += max(1, len(data) - _LONGEST)
    return end
