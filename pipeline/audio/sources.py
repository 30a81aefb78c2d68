"""Sources of a recording's frames: one interface for every library that decodes, and the one of libsndfile."""

import contextlib
import os
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from clean_corpus.pipeline.audio import headers
from clean_corpus.pipeline.core.errors import DataError

Frames = NDArray[np.float32]
"""Samples of all channels, (N, C), full scale +-1; floats may exceed it."""

_MP3_SLACK_S = 0.1  # encoders differ by a frame or two in the length that they announce
_NOT_RECOGNISED = (1, 7)  # libsndfile: format not recognised; no MPEG frame after what looked like one


class Source(Protocol):
    """The frames of one recording, read once from start to end, at the rate and with the channels that it has.

    `frames` is the number of frames that the header announces, None where it announces nothing; `frames_at_hand` the
    number that the library finds without reading them, at most as many. A recording that ends up to `slack` frames
    before what it announces is whole.
    """

    sample_rate: int
    channels: int
    format: str
    subtype: str
    frames: int | None
    frames_at_hand: int | None
    slack: int

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, at most so many; none at the end.

        Shapes: -> (N, C), N <= n_frames.
        Raises: DataError (without name and place) if they cannot be decoded.
        """


class _Sequential(soundfile.SoundFile):
    """A file that is read once from start to end.

    soundfile seeks after every read of a seekable file; at the end of a truncated FLAC file that seek fails and
    takes the last good read with it.
    """

    def seekable(self) -> bool:
        return False


class SoundFileSource:
    """A file of any format that libsndfile reads, recognised by its content and never by its name.

    What it opens is closed with `stack`.

    Raises: DataError if the file cannot be opened, is empty or is not audio.
    """

    def __init__(self, path: Path, stack: contextlib.ExitStack) -> None:
        try:
            self._file = stack.enter_context(path.open("rb", buffering=0))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from None
        self._size = os.fstat(self._file.fileno()).st_size
        if self._size == 0:
            raise DataError("empty file")
        sound = stack.enter_context(_open_sound(self._file.fileno()))
        self.frames = headers.announced_frames(self._file, sound)
        if start := headers.find_unknown_length(self._file, sound.format):
            self.frames = None
            sound = stack.enter_context(_open_sound(stack.enter_context(headers.stream(self._file, *start))))
        self._sound = sound
        self.frames_at_hand = None if self.frames is None else sound.frames
        self.sample_rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.format: str = sound.format
        self.subtype: str = sound.subtype
        self.slack = int(_MP3_SLACK_S * self.sample_rate) if self.format == "MP3" else 0

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, see Source; none where a file with a known length is cut off.

        Raises: DataError if they cannot be decoded.
        """
        try:
            return self._sound.read(n_frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at_end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR) == self._size
            if self.frames is not None and at_end:
                return np.zeros((0, self.channels), np.float32)
            raise DataError(explain(error)) from None


def explain(error: soundfile.LibsndfileError) -> str:
    """Return libsndfile's error in words of the ledger."""
    if error.code in _NOT_RECOGNISED:
        return "not audio: format not recognised"
    text = error.error_string.removeprefix("Error : ").rstrip(".")
    return f"cannot decode: {text}"


def _open_sound(descriptor: int) -> _Sequential:
    # a descriptor, since soundfile takes a path's or a named file's extension .raw for a format
    try:
        return _Sequential(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        raise DataError(explain(error)) from None
