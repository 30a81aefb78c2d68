"""Recordings in and out: decoding as a stream, resampling, FLAC and WAV; the only file that knows soundfile."""

import contextlib
import io
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Self

import numpy as np
import soundfile
import soxr

from clean_corpus.pipeline.core.config import AudioConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio

CODEC_VERSION = f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}"

_BLOCK_S = 10.0
_CHUNK = 4096  # frames per read: what is lost, at most, before the place where a truncated FLAC file breaks off
_UNKNOWN_FRAMES = 1 << 62  # libsndfile says 2**63 - 1 where a header announces nothing
_HEADER_SLACK = 64  # bytes; some recorders count the header as samples
_RATES_HZ = range(1000, 1_000_001)  # a header that says otherwise lies, and would turn a file into days or nothing
_MP3_SLACK_S = 0.1  # encoders differ by a frame or two in what they announce
_NOT_RECOGNISED = (1, 7)  # libsndfile: format not recognised; no MPEG frame after what looked like one


class _Sequential(soundfile.SoundFile):
    """A file read once from start to end.

    soundfile seeks after every read of a seekable file; at the end of a truncated FLAC file that seek fails and
    takes the last good read with it.
    """

    def seekable(self) -> bool:
        return False


class Reader:
    """One recording as mono float32 blocks at one rate; a context manager.

    `frames_in` is what the header announces, None where it announces nothing. Full scale is +-1; float files may hold
    values over 1 and these are passed through: a stream cannot know its peak, so who encodes scales.

    Raises: DataError (without the file's name) if the file is empty, is not audio, lacks the channel that was asked
    for, holds less than it announces, holds NaN or Inf, or cannot be decoded.
    """

    def __init__(self, path: Path, config: AudioConfig) -> None:
        self._config = config
        with contextlib.ExitStack() as stack:
            try:
                self._file = stack.enter_context(path.open("rb", buffering=0))
            except OSError as error:
                raise DataError(f"cannot open: {error.strerror}") from None
            self._size = os.fstat(self._file.fileno()).st_size
            if self._size == 0:
                raise DataError("empty file")
            sound = stack.enter_context(_open(self._file.fileno()))
            self.frames_in = _announced_frames(self._file, sound)
            if start := _start_of_unknown_length(self._file, sound.format):
                self.frames_in = None
                sound = stack.enter_context(_open(stack.enter_context(_restream(self._file, *start))))
            self._sound = sound
            self.sample_rate_in_hz: int = sound.samplerate
            self.channels_in: int = sound.channels
            self.format: str = sound.format
            self.subtype: str = sound.subtype
            if self.sample_rate_in_hz not in _RATES_HZ:
                raise DataError(f"sample rate is {self.sample_rate_in_hz} Hz, expected 1000 to 1000000 Hz")
            if config.channel != "mix" and not 0 <= config.channel < self.channels_in:
                raise DataError(f"audio.channel is {config.channel}, file has {self.channels_in} channels, from 0")
            if self.frames_in is not None:
                self._check_length(sound.frames)
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def blocks(self) -> Iterator[Audio]:
        """The recording from start to end, once; equals resampling it whole (soxr, HQ).

        Shapes: -> (N,) each, N about 10 s at config.sample_rate, the last one shorter; never empty.
        Raises: DataError, see the class; so blocks that came before an error belong to a recording that failed.
        """
        parts: list[Audio] = []
        n_samples = 0
        yielded = False
        for part in self._resampled():
            parts.append(part)
            n_samples += len(part)
            if n_samples >= _BLOCK_S * self._config.sample_rate:
                yield np.concatenate(parts)
                parts, n_samples, yielded = [], 0, True
        if n_samples:
            yield np.concatenate(parts)
        elif not yielded:
            raise DataError(f"no samples: fewer than one at {self._config.sample_rate} Hz")

    def _resampled(self) -> Iterator[Audio]:
        stream = soxr.ResampleStream(self.sample_rate_in_hz, self._config.sample_rate, 1, dtype="float32", quality="HQ")
        for chunk in self._mono_chunks():
            yield stream.resample_chunk(chunk)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _mono_chunks(self) -> Iterator[Audio]:
        held = 0
        while self.frames_in is None or held < self.frames_in:
            # never past the announced end: a FLAC file may carry an ID3 tag there, which libsndfile takes for damage
            n_frames = _CHUNK if self.frames_in is None else min(_CHUNK, self.frames_in - held)
            try:
                frames = self._sound.read(n_frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                at_end = os.lseek(self._file.fileno(), 0, os.SEEK_CUR) == self._size
                if self.frames_in is not None and at_end:
                    break
                raise DataError(f"{_text(error)} at {held / self.sample_rate_in_hz:.3f} s") from None
            if not len(frames):
                break
            mono = frames.mean(axis=1) if self._config.channel == "mix" else frames[:, self._config.channel].copy()
            bad = np.flatnonzero(~np.isfinite(mono))
            if len(bad):
                raise DataError(f"sample at {(held + bad[0]) / self.sample_rate_in_hz:.3f} s is {mono[bad[0]]}")
            held += len(frames)
            yield mono
        if self.frames_in is not None:
            self._check_length(held)

    def _check_length(self, held: int) -> None:
        slack = _MP3_SLACK_S * self.sample_rate_in_hz if self.format == "MP3" else 0
        if held < self.frames_in - slack and not self._config.allow_truncated:
            announced_s, held_s = self.frames_in / self.sample_rate_in_hz, held / self.sample_rate_in_hz
            raise DataError(
                f"truncated: header announces {announced_s:.3f} s, file holds {held_s:.3f} s; "
                "fetch it again, or set audio.allow_truncated: true"
            )


def open_recording(path: Path, config: AudioConfig) -> Reader:
    """A recording of any format that libsndfile reads, known by its content and never by its name.

    Raises: DataError, see Reader.
    """
    return Reader(path, config)


def encode_flac(x: Audio, sample_rate: int, *, bits: Literal[16, 24]) -> bytes:
    """A mono FLAC file: same samples, same bytes; rounded to the nearest step without dither.

    Full scale: 1.0 is 2**(bits - 1), as in decoding, so encoding what was decoded changes nothing; +1.0 itself,
    which no integer holds, becomes one step less.
    Shapes: x (N,), |x| <= 1, N >= 1.
    Raises: ValueError if x is not mono, is empty, is not finite or exceeds full scale.

    >>> x, sample_rate = decode(encode_flac(np.array([0.5, -1.0], np.float32), 16000, bits=16))
    >>> x.tolist(), sample_rate
    ([0.5, -1.0], 16000)
    """
    return _encode(x, sample_rate, bits=bits, container="FLAC")


def write_wav(path: Path, x: Audio, rate: int) -> None:
    """A mono 16-bit WAV file, in the steps of `encode_flac`.

    Shapes: x (N,), |x| <= 1, N >= 1.
    Raises: ValueError as encode_flac; OSError if the file cannot be written.
    """
    path.write_bytes(encode_wav(x, rate))


def encode_wav(x: Audio, rate: int) -> bytes:
    """What `write_wav` writes."""
    return _encode(x, rate, bits=16, container="WAV")


def decode(data: bytes, *, mix: bool = False) -> tuple[Audio, int]:
    """Samples and rate in Hz of an encoded mono clip that lies in memory, such as a shard's member.

    With `mix`, of several channels their mean.
    Shapes: -> (N,).
    Raises: DataError if it is not audio, is damaged or, without `mix`, is not mono.
    """
    try:
        x, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise DataError(_text(error)) from None
    if x.ndim != 1 and not mix:
        raise DataError(f"clip has {x.shape[1]} channels, expected 1")
    return x if x.ndim == 1 else x.mean(1), sample_rate


def length(data: bytes) -> tuple[int, int]:
    """Samples and rate in Hz of an encoded clip that lies in memory, by its header.

    Raises: DataError if it is not audio.
    """
    try:
        about = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise DataError(_text(error)) from None
    return about.frames, about.samplerate


def _encode(x: Audio, sample_rate: int, *, bits: Literal[16, 24], container: Literal["FLAC", "WAV"]) -> bytes:
    if x.ndim != 1 or not len(x):
        raise ValueError(f"expected (N,) samples, N >= 1, got shape {x.shape}")
    peak = float(np.abs(x).max())
    if not peak <= 1:  # NaN too
        raise ValueError(f"peak is {peak}, full scale is 1; scale before encoding")
    full_scale = 1 << (bits - 1)
    steps = np.clip(np.rint(x.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    # libsndfile takes the upper bits of an int32
    samples = steps.astype(np.int16) if bits == 16 else steps.astype(np.int32) << 8
    data = io.BytesIO()
    soundfile.write(data, samples, sample_rate, format=container, subtype=f"PCM_{bits}")
    return data.getvalue()


def _text(error: soundfile.LibsndfileError) -> str:
    if error.code in _NOT_RECOGNISED:
        return "not audio: format not recognised"
    text = error.error_string.removeprefix("Error : ").rstrip(".")
    return f"cannot decode: {text}"


def _open(descriptor: int) -> _Sequential:
    # a descriptor, since soundfile takes a path's or a named file's extension .raw for a format
    try:
        return _Sequential(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        raise DataError(_text(error)) from None


def _sample_chunk(file: BinaryIO) -> tuple[int, int] | None:
    """Announced size and offset, in bytes, of the samples of a WAV (RIFF) or AIFF file; None for other files."""
    order = {b"RIFF": "<", b"FORM": ">"}.get(os.pread(file.fileno(), 4, 0))
    offset = 12
    while order and len(head := os.pread(file.fileno(), 8, offset)) == 8:
        name, size = struct.unpack(f"{order}4sI", head)
        offset += 8
        if name == b"data":
            return size, offset
        if name == b"SSND":
            return size - 8, offset + 8  # it begins with two numbers of its own
        offset += size + size % 2
    return None


def _announced_frames(file: BinaryIO, sound: soundfile.SoundFile) -> int | None:
    """Frames by the header; libsndfile cuts a WAV or AIFF file's number down to what is there without a word."""
    if sound.frames > _UNKNOWN_FRAMES:
        return None
    if chunk := _sample_chunk(file):
        size, offset = chunk
        held = os.fstat(file.fileno()).st_size - offset
        # writers to a pipe cannot come back to fill in the size: ffmpeg and sox leave all ones, arecord 2**31
        is_unknown_length = size & 0x7FFFF000 == 0x7FFFF000 or size == 1 << 31
        if size > held + _HEADER_SLACK and held and not is_unknown_length:
            return round(sound.frames * size / held)
    return sound.frames


def _start_of_unknown_length(file: BinaryIO, container: str) -> tuple[bytes, int] | None:
    """New first bytes, and the offset of the rest, of a file where libsndfile would stop too early; else None.

    Two kinds: a WAV file whose writer left 0 as the size of its samples (libsndfile reads none), and an MP3 file
    without a Xing/Info tag (libsndfile guesses its length from the bit rate of the first frame and stops there).
    """
    size = os.fstat(file.fileno()).st_size
    if container == "MP3":
        head = os.pread(file.fileno(), 10, 0)
        # ID3v2 header: 4 bytes of 7 bits hold the size of what follows
        offset = 10 + sum((byte & 0x7F) << (21 - 7 * i) for i, byte in enumerate(head[6:])) if head[:3] == b"ID3" else 0
        first_frame = os.pread(file.fileno(), _CHUNK, offset)
        return None if b"Xing" in first_frame or b"Info" in first_frame else (b"", offset)
    chunk = _sample_chunk(file) if container in ("WAV", "WAVEX") else None
    if chunk and chunk[0] == 0 and chunk[1] < size:
        follows = os.pread(file.fileno(), 4, chunk[1]).strip()
        is_empty = follows.isalnum()  # the name of a further chunk, such as LIST
        head = os.pread(file.fileno(), chunk[1] - 4, 0) + b"\xff\xff\xff\xff"
        return None if is_empty else (head, chunk[1])
    return None


@contextlib.contextmanager
def _restream(file: BinaryIO, head: bytes, offset: int) -> Iterator[int]:
    """Descriptor that gives `head`, then `file` from byte `offset`, without a length that one could trust.

    A socket pair, since shutting it down ends both sides even where a forked process holds copies of a pipe's.
    """
    near, far = socket.socketpair()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError):  # the reader may leave early
            far.sendall(head)
            far.sendfile(file, offset)
            far.shutdown(socket.SHUT_WR)

    feeder = threading.Thread(target=feed, daemon=True)
    with near, far:
        feeder.start()
        try:
            yield near.fileno()
        finally:
            near.shutdown(socket.SHUT_RDWR)
            feeder.join()
