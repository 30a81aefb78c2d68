"""Decoding of recordings as a stream of mono blocks, and of clips in memory."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import soundfile

from clean_corpus.pipeline.audio import other_formats
from clean_corpus.pipeline.audio.opening import open_source
from clean_corpus.pipeline.audio.resample import ResampledStream
from clean_corpus.pipeline.audio.sources import UNKNOWN_FRAMES, Frames, SequentialFile, Truncated, explain
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio

CODEC_VERSION = f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}"
DECODERS_VERSION = f"{CODEC_VERSION}, {other_formats.version()}"  # of what reads recordings of any format

LOG = logging.getLogger("clean_corpus")

_BLOCK_S = 10.0
_CHUNK = 4096  # frames per read: the most that is lost before the point where a truncated FLAC file breaks off
_MAX_CLIP = 2**27  # samples of a clip in memory: two hours at 16 kHz, 512 MiB
_RATES_HZ = range(1000, 1_000_001)  # a header with another rate is wrong, and would turn a file into days or nothing


class Reader:
    """One recording as mono float32 blocks at one rate; a context manager.

    `frames_in` is the number of frames that the header announces, None where it announces nothing. Full scale is +-1;
    float files may hold values over 1 and these are passed through: a stream cannot know its peak, so the caller
    scales before encoding.

    Raises: DataError (without the file's name) if the file is empty, is not audio, lacks the channel that the
    configuration names, holds less than it announces, holds NaN or Inf, or cannot be decoded.
    """

    def __init__(self, path: Path, config: DecodeConfig, name: str | None) -> None:
        self._config = config
        self._name = name
        with contextlib.ExitStack() as stack:
            self._source = open_source(path, stack)
            self.sample_rate_in_hz = self._source.sample_rate
            self.channels_in = self._source.channels
            self.format, self.subtype = self._source.format, self._source.subtype
            self.frames_in = self._source.frames
            self._check_header()
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()
        if self._name is not None and (messages := self._source.messages):
            others = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
            LOG.warning("%s: its decoder says: %s%s", self._name, messages[0], others)

    def _check_header(self) -> None:
        if self.sample_rate_in_hz not in _RATES_HZ:
            raise DataError(f"sample rate: {self.sample_rate_in_hz} Hz, expected 1000 to 1000000 Hz")
        channel = self._config.channel
        if channel != "mix" and not 0 <= channel < self.channels_in:
            raise DataError(f"no such channel: audio.channel is {channel}, file has {self.channels_in}, from 0")
        if self._source.frames_at_hand is not None:
            self._check_length(self._source.frames_at_hand)
        self._check_size(self.frames_in or 0, "header announces")

    def blocks(self, mono: Callable[[Frames], Audio] | None = None) -> Iterator[Audio]:
        """Yield the recording from start to end, once; the blocks together equal the whole resampled (soxr, HQ).

        `mono` makes one channel, (N,), of frames (N, C); without it the configuration says which is taken.
        Shapes: -> (N,) each, N about 10 s at config.sample_rate, the last one shorter; never empty.
        Raises: DataError, see the class; so blocks that came before an error belong to a recording that failed.
        """
        parts: list[Audio] = []
        n_samples = 0
        yielded = False
        for part in self._resampled(mono or self._configured):
            parts.append(part)
            n_samples += len(part)
            if n_samples >= _BLOCK_S * self._config.sample_rate:
                yield np.concatenate(parts)
                parts, n_samples, yielded = [], 0, True
        if n_samples:
            yield np.concatenate(parts)
        elif not yielded:
            raise DataError(f"no samples: fewer than one at {self._config.sample_rate} Hz")

    def _configured(self, frames: Frames) -> Audio:
        return frames.mean(axis=1) if self._config.channel == "mix" else frames[:, self._config.channel].copy()

    def _resampled(self, mono: Callable[[Frames], Audio]) -> Iterator[Audio]:
        stream = ResampledStream(self.sample_rate_in_hz, self._config.sample_rate)
        for chunk in self._mono_chunks(mono):
            yield stream.push(chunk)
        yield stream.flush()

    def _mono_chunks(self, mono: Callable[[Frames], Audio]) -> Iterator[Audio]:
        n_read = 0
        for frames in self.frames():
            chunk = mono(frames)
            bad = np.flatnonzero(~np.isfinite(chunk))
            if len(bad):
                at_s = (n_read + bad[0]) / self.sample_rate_in_hz
                raise DataError(f"not finite: sample at {at_s:.3f} s is {chunk[bad[0]]}")
            n_read += len(frames)
            yield chunk

    def frames(self) -> Iterator[Frames]:
        """Yield all frames of the recording from start to end, once, at its own rate, NaN and Inf as they are.

        Shapes: -> (N, C) each.
        Raises: DataError, see the class.
        """
        n_read = 0
        while True:
            try:
                frames = self._source.read(_CHUNK)
            except DataError as error:
                if isinstance(error, Truncated) and self._config.allow_truncated:
                    break
                words, semicolon, remedy = str(error).partition(";")
                raise DataError(f"{words} at {n_read / self.sample_rate_in_hz:.3f} s{semicolon}{remedy}") from None
            if not len(frames):
                break
            n_read += len(frames)
            self._check_size(n_read, "file holds more than")
            yield frames
        if self.frames_in is not None:
            self._check_length(n_read)

    def _check_size(self, n_frames: int, words: str) -> None:
        hours, gigabytes = n_frames / self.sample_rate_in_hz / 3600, n_frames * self.channels_in * 4 / 1e9
        for value, unit, setting in (
            (hours, "h", "max_hours"),
            (gigabytes, "GB of samples", "max_decoded_gb"),
        ):
            if value > (limit := getattr(self._config, setting)):
                remedy = "split it, or raise the setting"
                raise DataError(f"too large: {words} {value:.4g} {unit}, audio.{setting} is {limit:g}; {remedy}")

    def _check_length(self, n_present: int) -> None:
        if n_present < self.frames_in - self._source.slack and not self._config.allow_truncated:
            announced_s, present_s = self.frames_in / self.sample_rate_in_hz, n_present / self.sample_rate_in_hz
            raise DataError(
                f"truncated: header announces {announced_s:.3f} s, file holds {present_s:.3f} s; "
                "fetch it again, or set audio.allow_truncated: true"
            )


def open_recording(path: Path, config: DecodeConfig, name: str | None = None, *, log_messages: bool = True) -> Reader:
    """Open a recording of any known format, recognised by its content and never by its name.

    What a decoder remarks is logged with `name`, the path if there is none, unless another pass logs it.

    Raises: DataError, see Reader.
    """
    return Reader(path, config, (name or str(path)) if log_messages else None)


def decode(data: bytes, *, mix: bool = False) -> tuple[Audio, int]:
    """Return samples and rate in Hz of an encoded mono clip in memory, such as a shard's member.

    With `mix`, of several channels their mean.
    Shapes: -> (N,).
    Raises: DataError if the bytes are not audio, are damaged, hold hours or, without `mix`, are not mono.
    """
    try:
        with SequentialFile(io.BytesIO(data)) as sound:
            if sound.channels != 1 and not mix:
                raise DataError(f"clip has {sound.channels} channels, expected 1")
            limit = _MAX_CLIP // sound.channels
            is_long = limit < sound.frames < UNKNOWN_FRAMES
            x = sound.read(0 if is_long else min(sound.frames, limit + 1), dtype="float32")
            if is_long or len(x) > limit:
                raise DataError(f"too large: clip has more than the {limit} frames that are decoded in memory; cut it")
            return x.copy() if x.ndim == 1 else x.mean(1), sound.samplerate
    except soundfile.LibsndfileError as error:
        raise explain(error) from None


def length(data: bytes) -> tuple[int, int]:
    """Return the number of samples and the rate in Hz of an encoded clip in memory, as its header says if it does.

    Raises: DataError if the bytes are not audio.
    """
    try:
        header = soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise explain(error) from None
    if header.frames >= UNKNOWN_FRAMES:  # written to a pipe
        return len(decode(data, mix=True)[0]), header.samplerate
    return header.frames, header.samplerate
