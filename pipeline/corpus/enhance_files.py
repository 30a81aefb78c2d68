"""Whole recordings enhanced as files: each at its own rate, in its own depth, without cuts and without a gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from clean_corpus.pipeline.audio import decode, encode, loudness
from clean_corpus.pipeline.audio.pieces import Frames
from clean_corpus.pipeline.core.config import DecodeConfig, EnhanceConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Recording
from clean_corpus.pipeline.corpus.enhance import Enhancer, enhance_named
from clean_corpus.pipeline.corpus.intake import look_over
from clean_corpus.pipeline.discover.recordings import printable
from clean_corpus.pipeline.quality.signal_measures import STEP

_DEEP = ("PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_2", "ALAC_32", "pcm_s24", "pcm_s32", "pcm_f", "pcm_bluray")


@dataclass(frozen=True)
class Whole:
    """A recording in memory: its rate in Hz, the bits that hold it, and its channels, (N,) each."""

    sample_rate: int
    bits: Literal[16, 24]
    channels: list[Audio]


def read_recording(
    folder: Path, recording: Recording, *, sample_rate: int | None = None, keep_channels: bool = False
) -> Whole:
    """Decode a whole recording that discovery found: the channel that a run would take, or each, without its mean.

    Rumble and level stay as they are: who enhances a file wants the noise gone and nothing else. The rate is the
    recording's own unless one is given; a recording of more than 16 bits has 24.
    Raises: DataError if discovery or decoding found it unreadable; OSError if the file cannot be read.
    """
    if recording.error:
        raise DataError(recording.error)
    path = folder / recording.path
    with decode.open_recording(path, DecodeConfig(sample_rate=sample_rate or 16000), log_messages=False) as reader:
        config = DecodeConfig(sample_rate=sample_rate or reader.sample_rate_in_hz)
        is_deep, n_channels = reader.subtype.startswith(_DEEP), reader.channels_in
    intake = look_over(path, config)

    def one(channel: int) -> Callable[[Frames], Audio]:
        return lambda frames: (frames[:, channel] - intake.mean[channel]).astype(np.float32)

    parts: list[Callable[[Frames], Audio]] = [intake.mono]
    if keep_channels and n_channels > 1:
        parts = [one(channel) for channel in range(n_channels)]
    channels = []
    for number, part in enumerate(parts):
        with decode.open_recording(path, config, log_messages=number == 0) as reader:
            channels.append(np.concatenate([np.zeros(0, np.float32), *reader.blocks(part)]))
    return Whole(config.sample_rate, 24 if is_deep and intake.step < STEP else 16, channels)


def enhance_files(
    group: Sequence[Recording],
    folder: Path,
    write: Callable[[str, bytes], None],
    enhancer: Callable[[int], Enhancer],
    *,
    sample_rate: int | None = None,
    keep_channels: bool = False,
    on_gpu: bool = False,
) -> dict[str, str]:
    """Enhance whole recordings to WAV files of their length, rate and depth; return what failed: source -> reason.

    `enhancer` gives the network as it works at a rate, `on_gpu` tells whether it does so there. With `sample_rate` all
    files get that one, with `keep_channels` each channel goes through the network alone. `write` is called with each
    recording's path and the bytes of its file.
    Raises: what the network raises that is no fault of one recording.
    """
    failed: dict[str, str] = {}
    loaded: dict[int, dict[tuple[str, int], Audio]] = {}  # rate -> (path, channel) -> samples
    bits: dict[str, Literal[16, 24]] = {}
    for recording in group:
        try:
            whole = read_recording(folder, recording, sample_rate=sample_rate, keep_channels=keep_channels)
        except (DataError, OSError) as error:
            failed[recording.source] = str(error)
            continue
        bits[recording.path] = whole.bits
        noisy = loaded.setdefault(whole.sample_rate, {})
        noisy |= {(recording.path, number): x for number, x in enumerate(whole.channels)}
    for rate in sorted(loaded):
        enhanced, damaged = enhance_named(loaded.pop(rate), enhancer(rate), EnhanceConfig(), rate, on_gpu=on_gpu)
        failed |= {printable(path): error for (path, _), error in damaged.items()}
        for path in dict.fromkeys(path for path, _ in enhanced):
            channels = [enhanced.pop(name) for name in [name for name in enhanced if name[0] == path]]
            if printable(path) not in failed:
                write(path, _encoded(channels, rate, bits[path]))
    return failed


def _encoded(channels: Sequence[Audio], sample_rate: int, bits: Literal[16, 24]) -> bytes:
    x = channels[0] if len(channels) == 1 else np.stack(channels, axis=1)
    return encode.encode_wav(loudness.within_full_scale(x), sample_rate, bits=bits)
