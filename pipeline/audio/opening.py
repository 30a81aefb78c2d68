"""The source of a recording's frames, whatever the format of its file."""

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from clean_corpus.pipeline.audio import containers, mpeg, other_formats
from clean_corpus.pipeline.audio.chain import ChainedSource
from clean_corpus.pipeline.audio.sources import NotRecognised, SoundFileSource, Source
from clean_corpus.pipeline.audio.splice import Part
from clean_corpus.pipeline.core.errors import DataError

_JUNK = 2**16  # bytes before MPEG audio that are passed over


def open_source(path: Path, stack: contextlib.ExitStack) -> Source:
    """Open the recording in a file, or all that were joined in it; what is opened is closed with `stack`.

    Raises: DataError if it cannot be opened, is empty or is not audio.
    """
    try:
        file = stack.enter_context(path.open("rb", buffering=0))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise DataError("empty file")
    try:
        parts = containers.split(file, size)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if not parts:
        raise NotRecognised("not audio: format not recognised")
    if len(parts) == 1 and not parts[0].problem:
        return _open_part(file, parts[0], stack)
    return ChainedSource(parts, lambda part, stack: _open_part(file, part, stack), stack)


def _open_part(file: BinaryIO, part: Part, stack: contextlib.ExitStack) -> Source:
    """Open a part of a file with the library that knows its format.

    Raises: DataError if none does.
    """
    if found := other_formats.demuxer_of(file, part):
        return other_formats.open_part(file, part, found, stack)
    try:
        return SoundFileSource(file, part, stack)
    except DataError as error:
        if found := other_formats.demuxer_of(file, part, unusual=True):
            return _open_unusual(file, part, found, stack, error)
        audio = mpeg.find_start(file, part.start, min(part.end, part.start + _JUNK))
        if audio is None or not isinstance(error, NotRecognised):
            raise
    parts = mpeg.split(file, audio, part.end)
    return ChainedSource(parts, lambda part, stack: SoundFileSource(file, part, stack), stack)


def _open_unusual(
    file: BinaryIO, part: Part, found: tuple[str, str], stack: contextlib.ExitStack, error: DataError
) -> Source:
    """Open with FFmpeg what libsndfile knows and cannot decode; if neither can, libsndfile's words count."""
    if not other_formats.is_installed():
        words = f"unsupported format: {found[0]} with a codec that needs an extra, or damaged; {other_formats.EXTRA}"
        raise DataError(words) from None
    try:
        return other_formats.open_part(file, part, found, stack)
    except DataError:
        raise error from None
