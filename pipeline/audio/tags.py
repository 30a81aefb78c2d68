"""Tags and padding around and between recordings in a file: ID3, APE, Lyrics3, zeros."""

import os
import re
import struct
from typing import BinaryIO

from clean_corpus.pipeline.audio.splice import find_pattern, skip_zeros

_MIN_PADDING = 4  # zeros; MP4 begins with up to three
_LYRICS_END = re.compile(rb"LYRICS200|LYRICSEND")
_MAX_LYRICS = 2**18  # bytes


def skip_tags(file: BinaryIO, position: int, end: int) -> int:
    """Return the position behind all tags and zeros that stand at a position, one after the other; at most `end`.

    Source: id3.org, ID3v2.4 section 3; APEv2 and Lyrics3 as their authors describe them.
    """
    while position < end:
        head = os.pread(file.fileno(), 32, position)
        length = _tag_length(file, head, position, end)
        if not length:
            break
        position += length
    return min(position, end)


def _tag_length(file: BinaryIO, head: bytes, position: int, end: int) -> int:
    """Return the number of bytes of the tag that begins so, 0 if none does."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        # 4 bytes of 7 bits hold the size of the tag, without its header, and without its footer if it has one
        size = sum(byte << (21 - 7 * i) for i, byte in enumerate(head[6:10]))
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:4] == b"TAG+":
        return 227
    if head[:3] == b"TAG":
        return 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, _, flags = struct.unpack("<12x3I8x", head)
        is_header = flags >> 29 & 1
        return 32 + (size if is_header else 0)
    if head[:11] == b"LYRICSBEGIN":
        stop = min(end, position + _MAX_LYRICS)
        at = find_pattern(file, _LYRICS_END, position, stop)
        return at + len(b"LYRICSEND") - position if at < stop else 0
    zeros = skip_zeros(file, position, end) - position if head[:1] == b"\0" else 0
    for own in (3, 2) if zeros >= _MIN_PADDING else ():
        if os.pread(file.fileno(), 4, position + zeros - own + 4) == b"ftyp":  # zeros that belong to an MP4 file's size
            zeros -= own
    return zeros if zeros >= _MIN_PADDING else 0
