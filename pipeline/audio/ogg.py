"""Pages of Ogg files: where each link of a chain begins and ends, and what is missing of it."""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from clean_corpus.pipeline.audio.splice import STRAY, WINDOW, Part, find_pattern
from clean_corpus.pipeline.audio.tags import skip_tags

MARK = b"OggS"
_MARK = re.compile(MARK)
_PAGE = struct.Struct("<4sBBqIIIB")  # mark, version, flags, granule, serial, sequence, checksum, segments
_BEGINS = 2  # flag of a stream's first page


def split(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Return the links of a chained Ogg file, and what is damaged between them as problems.

    Source: RFC 3533, section 6. A link begins with the first pages of its streams, all together.
    """
    parts: list[Part] = []
    link, in_heads = start, True
    stop = start
    for position, length, is_first, problem in _pages(file, start, end):
        if problem:
            parts += [Part(link, position)] if position > link else []
            parts.append(Part(position, position, problem=problem))
            link, in_heads = position + length, True
        elif is_first and not in_heads:
            parts.append(Part(link, position))
            link, in_heads = position, True
        elif not is_first:
            in_heads = False
        stop = position + length
    return [*parts, Part(link, stop)] if stop > link else parts


def _pages(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, int, bool, str | None]]:
    """Yield position, length and whether a stream begins with it, of each page; and what is no page, as a problem."""
    sequences: dict[int, int] = {}
    window, base = b"", position
    while position < end:
        at = position - base
        if at + _PAGE.size + 255 > len(window) and base + len(window) < end:
            window, base, at = os.pread(file.fileno(), min(WINDOW, end - position), position), position, 0
        head = window[at : at + _PAGE.size]
        if len(head) < _PAGE.size or head[:4] != MARK:
            after = skip_tags(file, position, end)
            # from the next byte on: what begins here is no whole page
            stop = find_pattern(file, _MARK, after if after > position else position + 1, end)
            yield position, stop - position, False, _what_is_lost(file, after, stop, end)
            position = stop
            continue
        _, _, flags, _, serial, sequence, _, n_segments = _PAGE.unpack(head)
        length = _PAGE.size + n_segments + sum(window[at + _PAGE.size : at + _PAGE.size + n_segments])
        is_first = bool(flags & _BEGINS)
        expected = sequence if is_first else sequences.get(serial, sequence - 1) + 1
        if sequence != expected:
            yield position, 0, False, f"cannot decode: damaged: page {expected} is missing before byte {position}"
        if position + length > end:
            yield position, end - position, False, f"truncated: the last page has {length} bytes, {end - position} left"
            return
        sequences[serial] = sequence
        yield position, length, is_first, None
        position += length


def _what_is_lost(file: BinaryIO, position: int, stop: int, end: int) -> str | None:
    """Return words on bytes that are no page, None if they are no loss."""
    if MARK.startswith(os.pread(file.fileno(), len(MARK), position)[:4]) and 0 < end - position < _PAGE.size:
        return f"truncated: the last page has {end - position} bytes of its header"
    if stop - position <= (STRAY if stop == end else 0):
        return None
    return f"cannot decode: damaged: {stop - position} bytes from byte {position} on are not Ogg"
