"""Sources that FFmpeg's libraries decode, through PyAV; the only file that knows it."""

import contextlib
import logging
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np

from clean_corpus.pipeline.audio.sources import Frames, Truncated
from clean_corpus.pipeline.audio.splice import Part, Splice
from clean_corpus.pipeline.core.errors import DataError

_EXACT = ("mov",)  # demuxers whose length is that of the edit list, to the sample
_ANNOUNCING = ("matroska", "asf", "avi", "wv", "tta", "ape", "caf", "aiff", "wav", "dsf")  # ... in milliseconds or so
_CUT_OFF = {  # what FFmpeg says of files that break off
    "moov atom not found": "its index, which stands at the end, is missing",
    "File ended prematurely": "it ends inside a block",
}
_LAST_BYTES = 16  # a checksum or padding may stand behind the last frame
_SLACK_S = 0.2  # of these: their length counts the encoder's delay, or is rounded

# FFmpeg's remarks reach the capture of a source, and otherwise nobody: a bare line names no file
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


class FFmpegSource:
    """The sound of a part of a file: its audio track, or of several the one that a player would choose.

    The delay and the padding that an encoder added are left out as the file says (edit lists, Opus pre-skip). What
    FFmpeg opens is closed with `stack`; it opens nothing but this file.

    Raises: DataError if it holds no sound, or cannot be decoded.
    """

    def __init__(self, file: BinaryIO, part: Part, name: str, demuxer: str, stack: contextlib.ExitStack) -> None:
        self.messages: list[str] = []
        self._splice, self._name, self._read_to = Splice(file, part), name, 0
        with self._explained():
            container = stack.enter_context(
                av.open(self._splice, format=demuxer, metadata_errors="replace", options={"protocol_whitelist": "pipe"})
            )
            stream = container.streams.best("audio")
            if stream is None:
                raise DataError(f"not audio: {name} without sound")
            if stream.codec_context is None:
                raise DataError(f"unsupported format: {name} with a codec that FFmpeg does not decode")
            stream.codec_context.thread_count = 1
        self._container, self._stream = container, stream
        self._decoded = self._frames()
        self._n_read = 0
        self._sample_rate = self._channels = 0
        self._ready = next(self._decoded, np.zeros((0, 1), np.float32))  # the first frame knows rate and channels
        if not len(self._ready):
            raise DataError("no samples")
        self.sample_rate, self.channels = self._sample_rate, self._channels
        self.format, self.subtype = name, stream.codec_context.name
        self._is_exact = demuxer in _EXACT
        self.frames, self.frames_at_hand = self._announced(demuxer), None
        self.slack = stream.codec_context.frame_size or 4096 if self._is_exact else int(_SLACK_S * self.sample_rate)

    def _announced(self, demuxer: str) -> int | None:
        if demuxer in _EXACT and self._stream.duration and self._stream.time_base:
            return round(self._stream.duration * self._stream.time_base * self.sample_rate)
        if demuxer in _ANNOUNCING and self._container.duration:
            return self._container.duration * self.sample_rate // av.time_base
        return None

    def read(self, n_frames: int) -> Frames:
        """Return the next frames, see Source.

        Raises: DataError if they cannot be decoded, or rate or channels change.
        """
        if not len(self._ready):
            self._ready = next(self._decoded, self._ready)
        frames, self._ready = self._ready[:n_frames], self._ready[n_frames:]
        if self._is_exact and self.frames is not None:  # behind it is what the encoder added
            frames = frames[: max(0, self.frames - self._n_read)]
        self._n_read += len(frames)
        return frames

    def _frames(self) -> Iterator[Frames]:
        raw = (frame for packet in self._packets() for frame in packet.decode())
        while True:
            with self._explained():
                frame = next(raw, None)
            if frame is None:
                return
            heard, known = (frame.sample_rate, len(frame.layout.channels)), (self._sample_rate, self._channels)
            if self._sample_rate and heard != known:
                raise DataError(
                    f"joined: {heard[0]} Hz and {heard[1]} channels, not {known[0]} Hz and {known[1]}, are not read"
                )
            self._sample_rate, self._channels = heard
            if frame.samples:
                yield _samples(frame)

    def _packets(self) -> Iterator[av.Packet]:
        for packet in self._container.demux(self._stream):
            self._read_to = (packet.pos or 0) + packet.size
            yield packet

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn FFmpeg's errors, and what it only logs as errors, into those of the ledger."""
        failure: av.error.FFmpegError | None = None
        with av.logging.Capture(local=True) as logs:
            try:
                yield
            except av.error.FFmpegError as error:
                failure = error
        if self._splice.error:
            raise DataError(f"cannot be read: {self._splice.error.strerror}")
        if failure is None and not logs:
            return
        said = [text.strip() for _, _, text in logs] or [failure.strerror if failure else ""]
        for text in said:
            if text in _CUT_OFF:
                raise Truncated(f"truncated: {_CUT_OFF[text]}; fetch it again, or set audio.allow_truncated: true")
        if self._read_to + _LAST_BYTES >= self._splice.size:
            raise Truncated("truncated: the last frame is cut off; set audio.allow_truncated: true")
        raise DataError(f"cannot decode: {self._name}: {said[0]}")


def _samples(frame: av.AudioFrame) -> Frames:
    x = frame.to_ndarray()
    if not frame.format.is_planar:
        x = x.reshape(-1, len(frame.layout.channels)).T
    if x.dtype == np.uint8:
        scaled = (x.astype(np.float32) - 128) / 128
    elif np.issubdtype(x.dtype, np.integer):
        scaled = x.astype(np.float32) / -float(np.iinfo(x.dtype).min)
    else:
        scaled = x.astype(np.float32)
    return np.ascontiguousarray(scaled.T)
