"""Recordings in a file: the one that it holds, or all that were joined end to end."""

import os
from typing import BinaryIO

from clean_corpus.pipeline.audio import flac, headers, mpeg, ogg, other_formats
from clean_corpus.pipeline.audio.splice import STRAY, Part
from clean_corpus.pipeline.audio.tags import skip_tags

MAX_PARTS = 10_000


def split(file: BinaryIO, size: int) -> list[Part]:
    """Return the recordings in a file, one after the other, without the tags and the padding around them.

    What is damaged or not recognised behind the first is a part with a problem. The parts are as many as there are,
    but at most MAX_PARTS.
    """
    parts: list[Part] = []
    position = 0
    while (start := skip_tags(file, position, size)) < size:
        if len(parts) >= MAX_PARTS:
            return [*parts[:MAX_PARTS], Part(size, size, problem=f"too large: more than {MAX_PARTS} recordings joined")]
        found, position = _first(file, start, size)
        if not found and parts and size - start <= STRAY:
            break
        if not found and parts:
            problem = f"cannot decode: damaged: {size - start} bytes from byte {start} on are not audio"
            return [*parts, Part(size, size, problem=problem)]
        parts += found or [Part(start, size)]
    return parts


def _first(file: BinaryIO, start: int, size: int) -> tuple[list[Part], int]:
    """Return the recording that begins at a position, and those of its kind behind it; and where they end.

    None for a format that is not taken apart.
    """
    samples = headers.find_samples(file, start, size)
    if samples and samples.offset <= size:
        parts, end = headers.split(file, samples, start, size)
        if samples.codec in headers.RIFF_MPEG:
            last = min(parts[-1].end, samples.offset + (samples.size or size))
            if mpeg.starts_here(file, samples.offset, last):
                return _mpeg_in_wav(file, samples, last, parts[-1].share), end
        return parts, end
    head = os.pread(file.fileno(), 8, start)
    if head[:4] == ogg.MARK:
        return ogg.split(file, start, size), size
    if flac.MARK.match(head):
        end = headers.next_beginning(file, flac.first_frame(file, start, size), size)
        return [flac.part(file, start, end)], end
    if other := other_formats.demuxer_of(file, Part(start, size)):
        end = other_formats.end_of(file, start, size, other[1])
        return [Part(start, end)], end
    if mpeg.starts_here(file, start, size):
        return mpeg.split(file, start, size), size
    return [], size


def _mpeg_in_wav(file: BinaryIO, samples: headers.Samples, end: int, share: float) -> list[Part]:
    parts = mpeg.split(file, samples.offset, end)
    if share < 1:
        problem = f"truncated: header announces {samples.size} bytes of audio, file holds {end - samples.offset}"
        parts.append(Part(end, end, problem=problem))
    return parts
