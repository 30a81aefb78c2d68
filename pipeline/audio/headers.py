"""Lengths that headers of audio files announce, and streams of files whose header announces too little."""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import BinaryIO

import soundfile

UNKNOWN_FRAMES = 1 << 62  # libsndfile returns 2**63 - 1 where a header announces nothing
_HEADER_SLACK = 64  # bytes; some recorders count the header as samples
_FIRST_FRAME = 4096  # bytes, in which an MP3 file's first frame holds its length tag


def announced_frames(file: BinaryIO, sound: soundfile.SoundFile) -> int | None:
    """Return the number of frames that a file's header announces, None where it announces nothing.

    libsndfile itself silently lowers the number of a WAV or AIFF file to the frames that are present.
    """
    if sound.frames > UNKNOWN_FRAMES:
        return None
    if chunk := _sample_chunk(file):
        size, offset = chunk
        present = os.fstat(file.fileno()).st_size - offset
        # writers to a pipe cannot come back to fill in the size: ffmpeg and sox leave all ones, arecord 2**31
        is_unknown = size & 0x7FFFF000 == 0x7FFFF000 or size == 1 << 31
        if size > present + _HEADER_SLACK and present and not is_unknown:
            return round(sound.frames * size / present)
    return sound.frames


def find_unknown_length(file: BinaryIO, container: str) -> tuple[bytes, int] | None:
    """Return new first bytes, and the offset of the rest, of a file that libsndfile would not read to its end.

    Two kinds: a WAV file whose writer left 0 as the size of its samples (libsndfile reads none), and an MP3 file
    without a Xing/Info tag (libsndfile guesses its length from the bit rate of the first frame and stops there). None
    for any other file.
    """
    size = os.fstat(file.fileno()).st_size
    if container == "MP3":
        head = os.pread(file.fileno(), 10, 0)
        # ID3v2 header: 4 bytes of 7 bits hold the size of the tag
        offset = 10 + sum((byte & 0x7F) << (21 - 7 * i) for i, byte in enumerate(head[6:])) if head[:3] == b"ID3" else 0
        first_frame = os.pread(file.fileno(), _FIRST_FRAME, offset)
        return None if b"Xing" in first_frame or b"Info" in first_frame else (b"", offset)
    chunk = _sample_chunk(file) if container in ("WAV", "WAVEX") else None
    if chunk and chunk[0] == 0 and chunk[1] < size:
        next_bytes = os.pread(file.fileno(), 4, chunk[1]).strip()
        is_empty = next_bytes.isalnum()  # the name of a further chunk, such as LIST
        head = os.pread(file.fileno(), chunk[1] - 4, 0) + b"\xff\xff\xff\xff"
        return None if is_empty else (head, chunk[1])
    return None


def _sample_chunk(file: BinaryIO) -> tuple[int, int] | None:
    """Return announced size and offset, in bytes, of the samples of a WAV (RIFF) or AIFF file; None for other files."""
    order = {b"RIFF": "<", b"FORM": ">"}.get(os.pread(file.fileno(), 4, 0))
    offset = 12
    while order and len(head := os.pread(file.fileno(), 8, offset)) == 8:
        name, size = struct.unpack(f"{order}4sI", head)
        offset += 8
        if name == b"data":
            return size, offset
        if name == b"SSND":
            return size - 8, offset + 8  # it begins with two numbers of its own
        offset += size + size % 2
    return None


@contextlib.contextmanager
def stream(file: BinaryIO, head: bytes, offset: int) -> Iterator[int]:
    """Give a descriptor that yields `head`, then `file` from byte `offset`, and has no length to be trusted.

    It belongs to a socket pair, since shutting that down ends both sides even where a forked process holds copies of
    the descriptors, as it would not for a pipe.
    """
    reading, writing = socket.socketpair()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader may leave early
            writing.sendall(head)
            writing.sendfile(file, offset)
            writing.shutdown(socket.SHUT_WR)

    feeder = threading.Thread(target=feed, daemon=True)
    with reading, writing:
        feeder.start()
        try:
            yield reading.fileno()
        finally:
            reading.shutdown(socket.SHUT_RDWR)
            feeder.join()
