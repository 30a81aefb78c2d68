"""Frames of FLAC files: where they begin, and whether there are more than the header announces."""

import os
import re
from functools import cache
from typing import BinaryIO

from clean_corpus.pipeline.audio.splice import Part

MARK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # begins a file; its first block is 34 bytes long
_COUNT = slice(18, 26)  # bytes of the header whose last 36 bits are the number of samples; 0: not known
_TAIL = 2**17  # bytes at the end of a file that hold more than its last frame


def first_frame(file: BinaryIO, start: int, end: int) -> int:
    """Return where the frames of a file begin, behind its metadata. Source: RFC 9639, section 8."""
    position, is_last = start + 4, False
    while not is_last and position < end and len(head := os.pread(file.fileno(), 4, position)) == 4:
        is_last, position = head[0] >= 0x80, position + 4 + int.from_bytes(head[1:], "big")
    return min(position, end)


def part(file: BinaryIO, start: int, end: int) -> Part:
    """Return a FLAC file as a part; without the number of its samples, if it holds more of them."""
    head = os.pread(file.fileno(), _COUNT.stop, start)
    count = int.from_bytes(head[_COUNT], "big") & (1 << 36) - 1
    if count and _end_of_last_frame(file, first_frame(file, start, end), end) > count:
        rest = int.from_bytes(head[_COUNT], "big") >> 36 << 36
        return Part(start + _COUNT.stop, end, head[: _COUNT.start] + rest.to_bytes(8, "big"))
    return Part(start, end)


def _end_of_last_frame(file: BinaryIO, first: int, end: int) -> int:
    """Return how many samples a file holds up to its last frame that is as long as the first, 0 if none is found."""
    prefix = os.pread(file.fileno(), 4, first)
    if len(prefix) < 4 or prefix[0] != 0xFF or prefix[1] & 0xFE != 0xF8:
        return 0
    tail_start = max(first, end - _TAIL)
    tail = os.pread(file.fileno(), end - tail_start, tail_start)
    at = len(tail)
    while (at := tail.rfind(prefix, 0, at)) >= 0:
        if (stop := _frame_end(tail[at : at + 16])) is not None:
            return stop
    return 0


def _frame_end(header: bytes) -> int | None:
    """Return the number of the sample behind a frame, None if these bytes begin none. Source: RFC 9639, section 9.1.

    >>> _frame_end(bytes.fromhex("fff8c508c3a98e")), _frame_end(bytes.fromhex("fff8c508c3a98f"))
    (958464, None)
    """
    code, rate_code = header[2] >> 4, header[2] & 15
    width = 1
    while width < 7 and header[4:5] and header[4] << width & 0x80 and header[4] & 0x80:
        width += 1
    size_bytes, rate_bytes = {6: 1, 7: 2}.get(code, 0), {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    length = 4 + width + size_bytes + rate_bytes
    if code == 0 or len(header) <= length or _crc8(header[:length]) != header[length]:
        return None
    number = header[4] & (0x7F if width == 1 else 0x7F >> width)
    for byte in header[5 : 4 + width]:
        number = number << 6 | byte & 0x3F
    if size_bytes:
        block = 1 + int.from_bytes(header[4 + width : 4 + width + size_bytes], "big")
    else:
        block = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    return number + block if header[1] & 1 else (number + 1) * block


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _crc_table()[crc ^ byte]
    return crc


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
        table.append(value)
    return tuple(table)
