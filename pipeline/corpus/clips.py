"""One recording cut into clips: decoded as a stream, cut at pauses, what is too short or silent already rejected."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import decode, loudness, segment, timed
from clean_corpus.pipeline.audio.timed_plan import Piece, plan
from clean_corpus.pipeline.core.config import AudioConfig, DecodeConfig, PipelineConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Audio, Clip, Recording, Scores
from clean_corpus.pipeline.corpus.intake import Intake, look_over, take_in
from clean_corpus.pipeline.corpus.timed_clips import behind_the_end, with_texts
from clean_corpus.pipeline.corpus.word_times import word_times
from clean_corpus.pipeline.quality import fingerprint
from clean_corpus.pipeline.quality.recorded import RecordedMeasures
from clean_corpus.pipeline.text.aligners import Aligner
from clean_corpus.pipeline.text.alignment import Alignment, Spoken

REACH_S = 60.0  # of the measures of a recording, besides two clips: what waits in the stages of the stream
FADE_S, CLICK_S = 0.005, 0.001  # at the ends of a clip: within its silence, and where there is none
RAW_LUFS, RAW_PEAK_DB = -23.0, -1.0  # of clips in raw shards: all that listens to them hears speech at one level


def cut_recording(
    folder: Path, recording: Recording, config: PipelineConfig, aligner: Aligner | None = None
) -> Iterator[tuple[Clip, Audio | None]]:
    """Yield the clips of one recording with their samples.

    A recording that cannot be read to its end, or that holds no speech, ends in one more clip without samples, which
    says so; what was cut before the damage stays. Time-stamped texts say where it is cut, if it has some. Else its text
    is that of its only clip; of several, each has the words that `aligner` finds in it, or none.
    Shapes: samples (N,) at audio.sample_rate.
    """
    clip = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata)
    if recording.error:
        yield replace(clip, error=recording.error), None
        return
    rate, limits, end, total = config.audio.sample_rate, config.segment, 0, 0
    clips = _Numbered(folder, recording, config, aligner)
    path = folder / recording.path

    def counted(blocks: Iterator[Audio]) -> Iterator[Audio]:
        nonlocal total
        for block in blocks:
            total += len(block)
            yield block

    try:
        with decode.open_recording(path, config.audio, recording.source) as reader:
            clip = replace(clip, sample_rate_in_hz=reader.sample_rate_in_hz, channels_in=reader.channels_in)
            intake = look_over(path, config.audio)
            clip = replace(clip, channel=str(intake.channel), channel_why=intake.why)
            measures = RecordedMeasures(clip.sample_rate_in_hz, step=intake.step, reach_s=REACH_S + 2 * limits.max_s)
            blocks = counted(take_in(reader, intake, sample_rate=rate, measures=measures))
            loudened = partial(intake.loudened, sample_rate=rate)
            if recording.segments:
                cuts = _timed(path, recording, intake, config, blocks)
            else:
                cuts = ((None, u) for u in segment.utterances(blocks, limits, sample_rate=rate, loudened=loudened))
            for piece, cut in cuts:
                yield from clips.push(*_clip(clip, cut, config, measures), piece)
                end = max(end, cut.end)
    except (DataError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield from clips.finish(is_whole=False)
        rest_id = f"{clip.clip_id}-rest" if clips.count else clip.clip_id
        yield replace(clip, clip_id=rest_id, offset_s=end / rate, error=text), None
        return
    yield from clips.finish(is_whole=True)
    late = list(behind_the_end(clip, recording, total / rate))
    yield from ((unheard, None) for unheard in late)
    if not clips.count and not late:
        reject = (Reason.NO_SPEECH, f"speech_s 0 < {limits.min_speech_s:g}")
        yield replace(clip, duration_s=total / rate, speech_s=0.0, reject=reject), None


def _timed(
    path: Path, recording: Recording, intake: Intake, config: PipelineConfig, blocks: Iterator[Audio]
) -> Iterator[tuple[Piece, segment.Utterance]]:
    """Yield what the time-stamped texts of a recording say is cut from it, after a pass of its own to listen."""
    rate, limits = config.audio.sample_rate, config.segment

    def readable(reader: decode.Reader) -> Iterator[Audio]:
        with suppress(DataError, OSError):  # the stream that is cut comes to the same damage, and says so
            yield from take_in(reader, intake, sample_rate=rate)

    with decode.open_recording(path, config.audio, log_messages=False) as reader:
        loudened = partial(intake.loudened, sample_rate=rate)
        heard = timed.listen(readable(reader), limits, sample_rate=rate, loudened=loudened)
    return timed.cut(blocks, plan(recording.segments, heard, limits), heard, limits, sample_rate=rate)


class _Numbered:
    """Clips of one recording in turn: numbered and with texts of their own once there are two of them.

    The first one waits until the second comes: it may be the only one, whose text is the recording's. A clip of a piece
    has the texts of that.
    """

    def __init__(self, folder: Path, recording: Recording, config: PipelineConfig, aligner: Aligner | None) -> None:
        self.count = 0
        self._folder, self._recording, self._config, self._aligner = folder, recording, config, aligner
        self._waiting: tuple[Clip, Audio, Piece | None] | None = None

    @cached_property
    def _words(self) -> Alignment | None:
        if self._aligner is None:
            return None
        return word_times(self._aligner, self._folder, self._recording, self._config.audio)

    def push(self, clip: Clip, samples: Audio, piece: Piece | None) -> Iterator[tuple[Clip, Audio]]:
        """Take the next clip, and yield those that are settled by it."""
        self.count += 1
        if self.count == 1:
            self._waiting = clip, samples, piece
            return
        yield from self._flush()
        yield self._of_several(clip, piece, self.count - 1), samples

    def finish(self, *, is_whole: bool) -> Iterator[tuple[Clip, Audio]]:
        """Yield what still waits; `is_whole` says that the recording was read to its end."""
        if self._waiting and is_whole:
            clip, samples, piece = self._waiting
            if piece is not None:
                yield self._told(clip, piece), samples
            else:
                yield replace(clip, text_source="manifest" if clip.metadata.text is not None else None), samples
        else:
            yield from self._flush()

    def _flush(self) -> Iterator[tuple[Clip, Audio]]:
        if self._waiting:
            clip, samples, piece = self._waiting
            self._waiting = None
            yield self._of_several(clip, piece, 0), samples

    def _told(self, clip: Clip, piece: Piece) -> Clip:
        return with_texts(clip, piece, self._recording, self._config.segment, self._spoken)

    def _spoken(self, clip: Clip) -> Spoken | None:
        """Return what the recording's text says in a clip, None if that is not known."""
        return self._words.between(clip.offset_s, clip.end_s) if self._words else None

    def _of_several(self, clip: Clip, piece: Piece | None, number: int) -> Clip:
        clip = replace(clip, clip_id=f"{clip.clip_id}-{number:05d}")
        if piece is not None:
            return self._told(clip, piece)
        bare = replace(clip.metadata, text=None)
        clip = replace(clip, metadata=bare, recording_text=clip.metadata.text)
        spoken = self._spoken(clip)
        if spoken is None:
            return clip
        if spoken.cut is not None:
            return replace(clip, reject=clip.reject or (Reason.TEXT_CUT, f"the clip's edge is in {spoken.cut!r}"))
        return replace(clip, metadata=replace(bare, text=spoken.text), text_source="aligned")


def _clip(
    recording: Clip, cut: segment.Utterance, config: PipelineConfig, measures: RecordedMeasures
) -> tuple[Clip, Audio]:
    """Return the clip of one utterance, rejected if it is too short, and its samples at the level of raw shards."""
    rate, limits = config.audio.sample_rate, config.segment
    offset_s, duration_s = cut.start / rate, len(cut.samples) / rate
    reject = None
    if duration_s < limits.min_s:
        reject = (Reason.TOO_SHORT, f"duration_s {duration_s:.4g} < {limits.min_s:g}")
    elif cut.speech_s < limits.min_speech_s:
        reject = (Reason.NO_SPEECH, f"speech_s {cut.speech_s:.3g} < {limits.min_speech_s:g}")
    samples, gain_db = loudness.level(_faded(cut, rate), rate, loudness_lufs=RAW_LUFS, true_peak_db=RAW_PEAK_DB)
    recorded = measures.of(offset_s, (cut.end - cut.start) / rate)
    clip = replace(
        recording,
        offset_s=offset_s,
        duration_s=duration_s,
        speech_s=round(cut.speech_s, 3),
        pcm_sha256=fingerprint.pcm_sha256(samples),
        reject=reject,
        input_gain_db=round(gain_db, 3),
        clipping_ratio=recorded.clipping_ratio,
        bandwidth_hz=recorded.bandwidth_hz,
        cutoff_hz=recorded.cutoff_hz,
        removed=tuple(((cut.start + first) / rate, length / rate) for first, length in cut.removed),
    )
    return clip, samples


def _faded(cut: segment.Utterance, sample_rate: int) -> Audio:
    """Return the samples of a clip, which rise from zero and fall to it: none begins or ends with a click.

    The fades last 5 ms where that much silence is, and 1 ms where the clip begins or ends in speech.
    Shapes: -> (N,).
    """
    x = cut.samples.copy()
    for side, silence in ((x, cut.speech_start), (x[::-1], len(x) - cut.speech_end)):
        n = min(max(round(CLICK_S * sample_rate), min(silence, round(FADE_S * sample_rate))), len(x) // 2)
        slope = (np.arange(n, dtype=np.float32) + 0.5) / max(n, 1)
        side[:n] *= np.square(np.sin(np.pi / 2 * slope), dtype=np.float32)
    return x


def as_published(x: Audio, config: AudioConfig) -> tuple[Audio, float]:
    """Return a clip as it is published, at its final level in steps of 16 bits, and the gain that this takes, dB.

    Shapes: x (N,) at config.sample_rate -> (N,).
    """
    x, gain_db = loudness.level(
        x, config.sample_rate, loudness_lufs=config.loudness_lufs, true_peak_db=config.true_peak_db
    )
    steps = np.clip(np.rint(x * np.float32(32768)), -32768, 32767)
    return steps / np.float32(32768), gain_db


def read_whole(path: Path, config: DecodeConfig) -> Audio:
    """Decode a whole recording into memory: the channel that a run would take, without mean and rumble.

    Its level stays as it is.
    Shapes: -> (N,) at config.sample_rate.
    Raises: DataError if it cannot be decoded to its end.
    """
    return read_measured(path, config)[0]


def read_measured(path: Path, config: DecodeConfig) -> tuple[Audio, Scores]:
    """Decode a whole recording as `read_whole`, and measure its clipping and bandwidth at its own rate.

    Shapes: -> (N,) at config.sample_rate.
    Raises: DataError if it cannot be decoded to its end.
    """
    with decode.open_recording(path, config) as reader:
        intake = look_over(path, config)
        measures = RecordedMeasures(reader.sample_rate_in_hz, step=intake.step, reach_s=np.inf)
        blocks = take_in(reader, intake, sample_rate=config.sample_rate, measures=measures)
        x = np.concatenate([np.zeros(0, np.float32), *blocks])
    recorded = measures.of(0.0, np.inf)
    return x, {"clipping_ratio": recorded.clipping_ratio, "bandwidth_hz": recorded.bandwidth_hz}
