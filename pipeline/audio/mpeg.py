"""Frames of MPEG audio: where each recording in a file begins and ends, and how many frames it has."""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

from clean_corpus.pipeline.audio.splice import STRAY, WINDOW, Part
from clean_corpus.pipeline.audio.tags import skip_tags

_KBPS = {  # by version 1 or not, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44100, 48000, 32000)
_IN_A_ROW = 4  # frames after which a sync word is not chance
_PEEK = 64  # bytes of a frame that hold its header and the beginning of its tag
_SYNC = re.compile(rb"\xff[\xe2-\xff]|ID3")


@dataclass(frozen=True)
class Frame:
    """What a frame's header says; `side` is where a frame without audio holds the length tag."""

    is_version_1: bool
    layer: int
    sample_rate: int
    channels: int
    size: int
    samples: int
    side: int

    def continues(self, other: "Frame") -> bool:
        """Return whether a frame can follow another one in one recording."""
        return (self.layer, self.sample_rate, self.channels) == (other.layer, other.sample_rate, other.channels)


@cache
def parse_header(header: bytes) -> Frame | None:
    """Return what the 4 bytes of a frame's header say, None if they are none (or of free format).

    Source: ISO/IEC 11172-3, section 2.4.2.3; 13818-3 for lower rates.

    >>> frame = parse_header(bytes.fromhex("fffb9064"))
    >>> frame.layer, frame.sample_rate, frame.channels, frame.size, frame.samples
    (3, 44100, 2, 417, 1152)
    """
    (word,) = struct.unpack(">I", header)
    version, layer_code, bitrate, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer_code == 0 or bitrate in (0, 15) or rate == 3 or word & 3 == 2:
        return None
    first, layer = version == 3, 4 - layer_code
    sample_rate = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits_per_s, padding = 1000 * _KBPS[first, layer][bitrate - 1], word >> 9 & 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
    size = (12 * bits_per_s // sample_rate + padding) * 4 if layer == 1 else samples // 8 * bits_per_s // sample_rate
    channels = 1 if word >> 6 & 3 == 3 else 2
    side = 4 + ((17, 32) if first else (9, 17))[channels - 1]
    return Frame(first, layer, sample_rate, channels, size + (padding if layer > 1 else 0), samples, side)


@dataclass
class _Run:
    """Frames of one recording, `tagged` if the first is a tag that says how many follow."""

    frame: Frame
    start: int
    end: int
    count: int = 0
    tagged: int | None = None

    def is_over(self) -> bool:
        """Return whether as many frames have come as the tag says."""
        return self.tagged is not None and self.count >= self.tagged

    def part(self, header: bytes) -> Part:
        """Return the part of the file, with a tag before it if it has none, so that it is read to its end."""
        head = b"" if self.tagged is not None else _length_tag(header, self.count)
        return Part(self.start, self.end, head)


def starts_here(file: BinaryIO, position: int, end: int) -> bool:
    """Return whether MPEG audio begins at a position: several frames in a row, or all that the file holds."""
    count, first = 0, None
    while count < _IN_A_ROW and position + 4 <= end:
        frame = parse_header(os.pread(file.fileno(), 4, position))
        if frame is None or (first and not frame.continues(first)):
            return False
        first, count, position = frame, count + 1, position + frame.size
    return count == _IN_A_ROW or (count > 1 and position >= end)


def find_start(file: BinaryIO, position: int, end: int) -> int | None:
    """Return where MPEG audio, or a tag before it, begins at a position or later; None if it does not."""
    while position < end and len(data := os.pread(file.fileno(), min(WINDOW, end - position), position)) >= 4:
        for match in _SYNC.finditer(data):
            at = position + match.start()
            audio = skip_tags(file, at, end) if match[0] == b"ID3" else at
            if starts_here(file, audio, end):
                return at
        position += max(1, len(data) - 3)
    return None


def split(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Return the recordings that follow each other in MPEG audio, each one whole.

    One begins at every length tag (Xing, Info, VBRI), behind every ID3 tag, where rate or channels change, and where a
    length tag's frames are over. What is neither frame nor tag is damage.
    """
    parts: list[Part] = []
    for item in _runs(file, start, end):
        if isinstance(item, str):
            parts.append(Part(end, end, problem=item))
        elif item.count:
            parts.append(item.part(os.pread(file.fileno(), 4, item.start)))
    return parts


def _runs(file: BinaryIO, start: int, end: int) -> Iterator[_Run | str]:
    """Yield each recording's frames, and words on what is damaged between them."""
    position: int | None = start
    while position is not None and position < end:
        run: _Run | None = None
        broken_at = last = position
        for at, frame, data in _walk(file, position, end):
            broken_at = at
            if frame is None or (run and not frame.continues(run.frame) and not starts_here(file, at, end)):
                break
            last, broken_at = at, min(end, at + frame.size)
            tag = _read_tag(frame, data)
            if run is None or tag or run.is_over() or not frame.continues(run.frame):
                if run:
                    yield run
                # a tag without a number is passed over, since libsndfile would guess one
                skipped = frame.size if tag and tag.frames is None else 0
                run = _Run(frame, at + skipped, at + skipped, tagged=tag.frames if tag else None)
            run.count += 0 if tag else 1
            run.end = max(run.end, broken_at)
        if run:
            yield run
        after = skip_tags(file, broken_at, end)
        position = after if after > broken_at and (after >= end or starts_here(file, after, end)) else None
        if position is None:
            found = find_start(file, min(last + 4, broken_at), end)
            lost = (end if found is None else found) - after
            if lost > (STRAY if found is None else 0):
                yield f"cannot decode: damaged: {lost} bytes from byte {after} on are not MPEG audio"
            position = None if found is None else skip_tags(file, found, end)


def _walk(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, Frame | None, bytes]]:
    """Yield position, header and first bytes of each frame; a header that is None ends it."""
    window, base = b"", position
    while position + 4 <= end:
        at = position - base
        if at + _PEEK > len(window):
            window, base, at = os.pread(file.fileno(), min(WINDOW, end - position), position), position, 0
            if len(window) < 4:
                return
        frame = parse_header(window[at : at + 4])
        yield position, frame, window[at : at + _PEEK]
        if frame is None:
            return
        position += frame.size


@dataclass(frozen=True)
class _Tag:
    frames: int | None


def _read_tag(frame: Frame, data: bytes) -> _Tag | None:
    """Return the length tag that a frame holds in place of audio, None if it holds audio."""
    if frame.layer != 3:
        return None
    for place in (frame.side, frame.side + 2):  # with a checksum
        if data[place : place + 4] in (b"Xing", b"Info") and len(data) >= place + 12:
            flags, count = struct.unpack(">II", data[place + 4 : place + 12])
            return _Tag(count if flags & 1 and count else None)
    return _Tag(None) if data[36:40] == b"VBRI" else None


def _length_tag(header: bytes, count: int) -> bytes:
    """Return a frame that says how many frames follow, for a recording that begins with another header."""
    word = struct.unpack(">I", header)[0] | 1 << 16  # without a checksum
    frame = None
    for bitrate in range(6, 15):
        frame = parse_header(struct.pack(">I", word & ~0xF200 | bitrate << 12))
        if frame and frame.layer == 3 and frame.size >= frame.side + 12:
            tag = struct.pack(">I", word & ~0xF200 | bitrate << 12).ljust(frame.side, b"\0")
            return (tag + struct.pack(">4sII", b"Info", 1, count)).ljust(frame.size, b"\0")
    return b""
