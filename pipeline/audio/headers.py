"""Headers of WAV, RF64, W64, AIFF, AU and CAF files: where their samples lie, and how many they announce."""

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from clean_corpus.pipeline.audio import mpeg
from clean_corpus.pipeline.audio.splice import Part, find_pattern
from clean_corpus.pipeline.audio.tags import skip_tags

RIFF_MPEG = (0x50, 0x55)  # format tags of MPEG audio in a WAV file
BEGINNINGS = re.compile(
    rb"RIFF....WAVE|RIFX....WAVE|RF64....WAVE|BW64....WAVE|FORM....AIF[FC]|fLaC[\x00\x80]\x00\x00\x22|\.snd\x00\x00|"
    rb"OggS\x00\x02|caff\x00\x01\x00\x00|riff\x2e\x91\xcf\x11\xa5\xd6",
    re.DOTALL,
)  # of files that may stand behind each other
_SLACK = 64  # bytes; some recorders count the header as samples
_MAX_HEAD = 2**24  # bytes before the samples
_MAX_WAV = 2**31  # bytes of samples that a header of 32 bits is trusted with
_STEP = 2**30  # bytes of samples to read as one file, where there are more than a header's 32 bits can say
_METADATA = re.compile(rb"[A-Za-z_][A-Za-z0-9_ ]{3}")  # the name of a chunk
_CUT_METADATA = frozenset(b"LIST ID3  BEXT IXML JUNK PEAK FACT CART AXML _PMX DISP FLLR SMPL".split(b" "))
_W64_NAME = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # every chunk's name ends so


@dataclass(frozen=True)
class Samples:
    """Where a file's samples lie, and how many bytes of them its header announces, None where it announces nothing.

    `patch` gives the bytes, by position, that announce another number; `limit` is the greatest. Behind the samples
    may stand chunks whose size has the format `chunk`.
    """

    offset: int
    size: int | None
    patch: Callable[[int], dict[int, bytes]]
    limit: int = 2**62
    chunk: str | None = None
    block: int = 1
    codec: int | None = None


def split(file: BinaryIO, samples: Samples, start: int, end: int) -> tuple[list[Part], int]:
    """Return the samples of a file as parts, and the position of what follows: another recording, or the end.

    What the header says holds if chunks, tags or another recording follow, or nothing. Otherwise it is wrong, wrapped
    at 4 GB for example, and all that the file holds are samples.
    """
    present = end - samples.offset
    size, stop = samples.size, end
    if size is not None and size <= present + _SLACK:
        for wrapped in reversed(range(size, present + _SLACK + 1, 2**32)):
            follows = _end_of_chunks(file, samples, min(end, samples.offset + wrapped), end)
            if follows is not None:
                held, stop = min(wrapped, present), follows
                if wrapped == size <= present:
                    return [Part(start, stop)], stop  # as it is, with what stands behind the samples
                return _parts(file, samples, start, held, held), stop
    if size is None or size <= present:
        stop = next_beginning(file, samples.offset + 1, end)
        held = size = stop - samples.offset
        return _parts(file, samples, start, held, held), stop
    return _parts(file, samples, start, present, size), end


def _parts(file: BinaryIO, samples: Samples, start: int, held: int, announced: int) -> list[Part]:
    """Return `held` bytes of samples as one part with a header that says so, or as several."""
    head = os.pread(file.fileno(), min(_MAX_HEAD, samples.offset - start), start)
    step = held if held <= samples.limit else _STEP // samples.block * samples.block
    parts = []
    for first in range(0, max(held, 1), max(step, 1)):
        length = min(step, held - first)
        patched = bytearray(head)
        for position, data in samples.patch(length).items():
            patched[position - start : position - start + len(data)] = data
        offset = samples.offset + first
        parts.append(Part(offset, offset + length, bytes(patched), share=held / announced if held else 1.0))
    return parts


def _end_of_chunks(file: BinaryIO, samples: Samples, position: int, end: int) -> int | None:
    """Return where the chunks and tags from a position on end: at another recording or the end; None if they do not."""
    if samples.chunk is None:
        after = skip_tags(file, position, end)
        if os.pread(file.fileno(), 16, position + -position % 8)[4:] == _W64_NAME:
            return end
        return after if after + _SLACK >= end or _begins(file, after, end) else None
    size_format = struct.Struct(samples.chunk)
    if position % 2 and samples.chunk[-1] == "I" and os.pread(file.fileno(), 1, position) == b"\0":
        position += 1
    while (after := skip_tags(file, position, end)) + _SLACK < end:
        head = os.pread(file.fileno(), 4 + size_format.size, after)
        if _begins(file, after, end):
            return after
        if not _METADATA.match(head):
            return None
        (size,) = size_format.unpack(head[4:])
        position = after + len(head) + size + (size % 2 if size_format.size == 4 else 0)
        if position > end + 1 and head[:4].upper() not in _CUT_METADATA:
            return None
    return end


def _begins(file: BinaryIO, position: int, end: int) -> bool:
    known = BEGINNINGS.match(os.pread(file.fileno(), 16, position))
    return known is not None or mpeg.starts_here(file, position, end)


def next_beginning(file: BinaryIO, position: int, end: int) -> int:
    """Return where another recording begins behind a position, or `end`."""
    return find_pattern(file, BEGINNINGS, position, end)


def find_samples(file: BinaryIO, start: int, end: int) -> Samples | None:
    """Return where the samples of a file lie that begins at a position; None if it is of another format."""
    head = os.pread(file.fileno(), 16, start)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        return _in_wav(file, start, end, "<" if head[3:4] == b"F" else ">")
    if head[:4] in (b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _in_rf64(file, start, end)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _in_aiff(file, start, end)
    if head[:4] == b"riff":
        return _in_w64(file, start, end)
    if head[:4] == b".snd":
        offset, size = struct.unpack(">II", head[4:12].ljust(8, b"\0"))
        known = None if size == 0xFFFFFFFF or (size == 0 and start + offset < end) else size
        return Samples(start + offset, known, lambda n: {start + 8: struct.pack(">I", min(n, 0xFFFFFFFF))})
    if head[:7] == b"NIST_1A":
        return _in_nist(file, start)
    if head[:4] == b"caff":
        return _in_caf(file, start, end)
    return None


def _chunks(file: BinaryIO, position: int, end: int, size_format: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, size and offset of each chunk."""
    unpack = struct.Struct(f"{size_format[0]}4s{size_format[1]}")
    while position < end and len(head := os.pread(file.fileno(), unpack.size, position)) == unpack.size:
        name, size = unpack.unpack(head)
        position += unpack.size
        yield name, size, position
        position += max(0, size + (size % 2 if size_format[1] == "I" else 0))


def _in_wav(file: BinaryIO, start: int, end: int, order: str) -> Samples | None:
    block, codec = 1, None
    for name, size, offset in _chunks(file, start + 12, end, f"{order}I"):
        if name == b"fmt ":
            block, codec = _wav_format(os.pread(file.fileno(), 40, offset), order)
        if name == b"data":
            present = end - offset
            # writers to a pipe cannot come back to fill in the size: ffmpeg and sox leave all ones, arecord 2**31
            unknown = size > present + _SLACK and (size & 0x7FFFF000 == 0x7FFFF000 or size == 1 << 31)
            size_or_none = None if unknown else size

            def patch(n: int, at: int = offset) -> dict[int, bytes]:
                return {start + 4: struct.pack(f"{order}I", at - start - 8 + n), at - 4: struct.pack(f"{order}I", n)}

            return Samples(offset, size_or_none, patch, _MAX_WAV, f"{order}I", block, codec)
    return None


def _wav_format(fmt: bytes, order: str) -> tuple[int, int | None]:
    if len(fmt) < 16:
        return 1, None
    codec, _, _, _, block = struct.unpack(f"{order}HHIIH", fmt[:14])
    if codec == 0xFFFE and len(fmt) >= 26:  # extensible: the tag stands in the subformat
        (codec,) = struct.unpack(f"{order}H", fmt[24:26])
    return max(1, block), codec


def _in_rf64(file: BinaryIO, start: int, end: int) -> Samples | None:
    place, announced, block, codec = None, 0, 1, None
    for name, size, offset in _chunks(file, start + 12, end, "<I"):
        if name == b"ds64":
            place = offset
            announced = struct.unpack("<Q", os.pread(file.fileno(), 16, offset)[8:].ljust(8, b"\0"))[0]
        if name == b"fmt ":
            block, codec = _wav_format(os.pread(file.fileno(), 40, offset), "<")
        if name == b"data" and place is not None:
            size = announced if size == 0xFFFFFFFF else size
            unknown = size >= 1 << 62 or (size == 0 and offset < end)

            def patch(n: int, at: int = offset, ds64: int = place, block: int = block) -> dict[int, bytes]:
                counts = struct.pack("<QQQ", at - start - 8 + n, n, n // block)
                return {ds64: counts, at - 4: b"\xff" * 4}

            return Samples(offset, None if unknown else size, patch, chunk="<I", block=block, codec=codec)
    return None


def _in_aiff(file: BinaryIO, start: int, end: int) -> Samples | None:
    channels, bits = 1, 8
    for name, size, offset in _chunks(file, start + 12, end, ">I"):
        if name == b"COMM":
            channels, _, bits = struct.unpack(">HIH", os.pread(file.fileno(), 8, offset).ljust(8, b"\0"))
        if name == b"SSND":
            at, block = offset + 8, max(1, channels * -(-bits // 8))  # it begins with two numbers of its own
            unknown = size in (0, 8) or (size > end - offset + _SLACK and size & 0x7FFFF000 == 0x7FFFF000)

            def patch(n: int, at: int = at) -> dict[int, bytes]:
                return {start + 4: struct.pack(">I", at - start - 8 + n), at - 12: struct.pack(">I", n + 8)}

            return Samples(at, None if unknown and at < end else size - 8, patch, _MAX_WAV, ">I", block)
    return None


def _in_w64(file: BinaryIO, start: int, end: int) -> Samples | None:
    position = start + 40
    while position < end and len(head := os.pread(file.fileno(), 24, position)) == 24:
        name, size = struct.unpack("<4s12xQ", head)
        if name == b"data":
            at = position + 24
            unknown = size >= 1 << 62 or (size in (0, 24) and at < end)

            def patch(n: int, at: int = at) -> dict[int, bytes]:
                return {start + 16: struct.pack("<Q", at - start + n), at - 8: struct.pack("<Q", n + 24)}

            return Samples(at, None if unknown else max(0, size - 24), patch)
        position += max(24, (size + 7) // 8 * 8)
    return None


def _in_caf(file: BinaryIO, start: int, end: int) -> Samples | None:
    for name, size, offset in _chunks(file, start + 8, end, ">q"):
        if name == b"data":
            at = offset + 4  # it begins with a number of its own

            def patch(n: int, at: int = at) -> dict[int, bytes]:
                return {at - 12: struct.pack(">q", n + 4)}

            return Samples(at, None if size < 4 else size - 4, patch, chunk=">q")
    return None


def _in_nist(file: BinaryIO, start: int) -> Samples | None:
    head = os.pread(file.fileno(), 2**16, start)
    numbers = [
        re.search(rb"\n" + name + rb" -i (\d+)", head)
        for name in (b"sample_count", b"channel_count", b"sample_n_bytes")
    ]
    length = re.match(rb"NIST_1A\n *(\d+)\n", head)
    if length is None or None in numbers or b"shorten" in head[: int(length[1])]:
        return None
    count, channels, width = (int(number[1]) for number in numbers if number)
    return Samples(start + int(length[1]), count * channels * width, lambda _: {})
