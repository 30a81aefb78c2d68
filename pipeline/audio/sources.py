"""Sources of a recording's frames: one interface for every library that decodes, and the one of libsndfile."""

import contextlib
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from clean_corpus.pipeline.audio.decoder_messages import collected
from clean_corpus.pipeline.audio.splice import Part, Splice
from clean_corpus.pipeline.core.errors import DataError

Frames = NDArray[np.float32]
"""Samples of all channels, (N, C), full scale +-1; floats may exceed it."""

_MP3_SLACK_S = 0.1  # encoders differ by a frame or two in the length that they announce
_NOT_RECOGNISED = (1, 7)  # libsndfile: format not recognised; no MPEG frame after what looked like one
UNKNOWN_FRAMES = 1 << 62  # libsndfile returns 2**63 - 1 where a header announces nothing


class Source(Protocol):
    """The frames of one recording, read once from start to end, at the rate and with the channels that it has.

    `frames` is the number of frames that the header announces, None where it announces nothing; `frames_at_hand` the
    number that the library finds without reading them, at most as many. A recording that ends up to `slack` frames
    before what it announces is whole. `messages` are the remarks of the library so far.
    """

    sample_rate: int
    channels: int
    format: str
    subtype: str
    frames: int | None
    frames_at_hand: int | None
    slack: int
    messages: list[str]

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, at most so many; none at the end.

        Shapes: -> (N, C), N <= n_frames.
        Raises: DataError (without name and place) if they cannot be decoded.
        """


class NotRecognised(DataError):
    """No library that is there knows the format of a file."""


class Truncated(DataError):
    """A file breaks off before its end, and what came until then is whole."""


class SequentialFile(soundfile.SoundFile):
    """A file that is read once from start to end.

    soundfile seeks after every read of a seekable file; at the end of a truncated FLAC file that seek fails and
    takes the last good read with it.
    """

    def seekable(self) -> bool:
        return False


class SoundFileSource:
    """A part of a file in any format that libsndfile reads, recognised by its content and never by its name.

    What it opens is closed with `stack`.

    Raises: DataError if it cannot be opened, NotRecognised if it is of no format that libsndfile knows.
    """

    def __init__(self, file: BinaryIO, part: Part, stack: contextlib.ExitStack) -> None:
        self.messages: list[str] = []
        self._splice = Splice(file, part)
        try:
            with collected(self.messages):
                sound = stack.enter_context(SequentialFile(self._splice))
        except soundfile.LibsndfileError as error:
            raise self._explained(error) from None
        self._sound = sound
        self.sample_rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.format: str = sound.format
        self.subtype: str = sound.subtype
        self.slack = int(_MP3_SLACK_S * self.sample_rate) if self.format == "MP3" else 0
        self.frames_at_hand: int | None = sound.frames if sound.frames < UNKNOWN_FRAMES else None
        self.frames = None if self.frames_at_hand is None else round(self.frames_at_hand / part.share)
        self._n_read = 0

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, see Source; none where a file with a known length is cut off.

        Raises: DataError if they cannot be decoded.
        """
        if self.frames is not None:
            # never past the announced end: a FLAC file may carry an ID3 tag there, which libsndfile takes for damage
            n_frames = min(n_frames, self.frames - self._n_read)
        try:
            with collected(self.messages) if "MPEG" in self.subtype else contextlib.nullcontext():
                frames = self._sound.read(n_frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            if self.frames is None or self._splice.tell() < self._splice.size or self._splice.error:
                raise self._explained(error) from None
            frames = np.zeros((0, self.channels), np.float32)
        if self._splice.error:
            raise DataError(f"cannot be read: {self._splice.error.strerror}")
        self._n_read += len(frames)
        return frames

    def _explained(self, error: soundfile.LibsndfileError) -> DataError:
        if self._splice.error:
            return DataError(f"cannot be read: {self._splice.error.strerror}")
        return explain(error)


def explain(error: soundfile.LibsndfileError) -> DataError:
    """Return libsndfile's error in words of the ledger."""
    if error.code in _NOT_RECOGNISED:
        return NotRecognised("not audio: format not recognised")
    text = error.error_string.removeprefix("Error : ").rstrip(".")
    return DataError(f"cannot decode: {text}")
