"""One recording cut into clips: decoded as a stream, cut at pauses, what is too short or silent already rejected."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import decode, loudness, segment
from clean_corpus.pipeline.core.config import AudioConfig, PipelineConfig, SegmentConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Audio, Clip, Recording
from clean_corpus.pipeline.quality import fingerprint


def cut_recording(folder: Path, recording: Recording, config: PipelineConfig) -> Iterator[tuple[Clip, Audio | None]]:
    """Yield the clips of one recording with their samples.

    A recording that cannot be read to its end, or that holds no speech, ends in one more clip without samples, which
    says so; what was cut before the damage stays.
    Shapes: samples (N,) at audio.sample_rate.
    """
    clip = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata)
    if recording.error:
        yield replace(clip, error=recording.error), None
        return
    rate, limits, count, end, total = config.audio.sample_rate, config.segment, 0, 0, 0

    def counted(blocks: Iterator[Audio]) -> Iterator[Audio]:
        nonlocal total
        for block in blocks:
            total += len(block)
            yield block

    try:
        with decode.open_recording(folder / recording.path, config.audio, recording.source) as reader:
            clip = replace(clip, sample_rate_in_hz=reader.sample_rate_in_hz, channels_in=reader.channels_in)
            for cut in segment.utterances(counted(reader.blocks()), limits, sample_rate=rate):
                whole = cut.start == 0 and len(cut.samples) == total
                yield _clip(clip, cut, rate, limits, None if whole else count), cut.samples
                count, end = count + 1, cut.start + len(cut.samples)
    except (DataError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        rest_id = f"{clip.clip_id}-rest" if count else clip.clip_id
        yield replace(clip, clip_id=rest_id, offset_s=end / rate, error=text), None
        return
    if not count:
        reject = (Reason.NO_SPEECH, f"speech_s 0 < {limits.min_speech_s:g}")
        yield replace(clip, duration_s=total / rate, speech_s=0.0, reject=reject), None


def _clip(recording: Clip, cut: segment.Utterance, rate: int, limits: SegmentConfig, number: int | None) -> Clip:
    """Return the clip of one utterance, rejected if it is too short; `number` is None for a recording kept whole."""
    duration_s = len(cut.samples) / rate
    reject = None
    if duration_s < limits.min_s:
        reject = (Reason.TOO_SHORT, f"duration_s {duration_s:.4g} < {limits.min_s:g}")
    elif cut.speech_s < limits.min_speech_s:
        reject = (Reason.NO_SPEECH, f"speech_s {cut.speech_s:.3g} < {limits.min_speech_s:g}")
    return replace(
        recording,
        clip_id=recording.clip_id if number is None else f"{recording.clip_id}-{number:05d}",
        offset_s=cut.start / rate,
        duration_s=duration_s,
        speech_s=round(cut.speech_s, 3),
        pcm_sha256=fingerprint.pcm_sha256(cut.samples),
        reject=reject,
    )


def as_published(x: Audio, config: AudioConfig) -> tuple[Audio, float]:
    """Return a clip as it is published, at its final level in steps of 16 bits, and the gain that this takes, dB.

    Shapes: x (N,) at config.sample_rate -> (N,).
    """
    x, gain_db = loudness.level(
        x, config.sample_rate, loudness_lufs=config.loudness_lufs, true_peak_db=config.true_peak_db
    )
    steps = np.clip(np.rint(x * np.float32(32768)), -32768, 32767)
    return steps / np.float32(32768), gain_db


def read_whole(path: Path, config: AudioConfig) -> Audio:
    """Decode a whole recording into memory.

    Shapes: -> (N,) at config.sample_rate.
    Raises: DataError if it cannot be decoded to its end.
    """
    with decode.open_recording(path, config) as reader:
        return np.concatenate([np.zeros(0, np.float32), *reader.blocks()])


def read_recording(folder: Path, recording: Recording, config: AudioConfig) -> Audio:
    """Decode a whole recording that discovery found.

    Shapes: -> (N,) at config.sample_rate.
    Raises: DataError if discovery or decoding found it unreadable; OSError if the file cannot be read.
    """
    if recording.error:
        raise DataError(recording.error)
    return read_whole(folder / recording.path, config)
