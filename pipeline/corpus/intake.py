"""How a recording is taken in: one channel or the mix, without mean and rumble, at a level that can be heard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.audio.highpass import without_rumble
from clean_corpus.pipeline.audio.pieces import Frames
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import channels
from clean_corpus.pipeline.quality.recorded import RecordedMeasures

LISTENING_DB = -15.0  # loud moments of a recording, dB re full scale 1: speech at -23 dB has them there
LOCAL_DB = 30.0  # more gain than the recording as a whole needs, for who speaks further from the microphone
NOTHING_DB = -120.0  # below it nothing was recorded; 24 bits end at -138


@dataclass(frozen=True)
class Intake:
    """What a first pass over a recording decided: what is taken of its channels, and the gain.

    `channel` is a number from 0 or `mix`, `why` says why where the setting did not choose it; `gains_db` bring every
    5 s of the recording to the level at which voices are looked for; `step` is its quantisation step.
    """

    channel: Literal["mix"] | int
    why: str | None
    mean: NDArray[np.float64]
    gains_db: NDArray[np.float64]
    step: float

    def mono(self, frames: Frames) -> Audio:
        """Return what is taken of some frames, without the mean of the whole, (N, C) -> (N,)."""
        used = self.used(frames)
        return (used - self.used(self.mean[None])).mean(axis=1, dtype=np.float64).astype(np.float32)

    def used(self, frames: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the channels that are taken or mixed, (N, C) -> (N, K)."""
        return frames if self.channel == "mix" else frames[:, self.channel : self.channel + 1]

    def loudened(self, start: int, x: Audio, sample_rate: int) -> Audio:
        """Return a stretch at the level at which voices are looked for; some samples may exceed full scale.

        The gain changes steadily from the middle of each 5 s to the next, so soft speakers are heard beside loud ones.
        Shapes: x (N,), from sample `start` of the recording on -> (N,).
        """
        middles = (np.arange(len(self.gains_db)) + 0.5) * channels.LOCAL_S * sample_rate
        ends = np.interp([start, start + len(x)], middles, self.gains_db)
        inner = middles[(middles > start) & (middles < start + len(x))]
        places = np.concatenate(([start], inner, [start + len(x)]))
        gains_db = np.concatenate(([ends[0]], np.interp(inner, middles, self.gains_db), [ends[1]]))
        if np.ptp(gains_db) == 0:
            return x * np.float32(10 ** (gains_db[0] / 20))
        gain = 10 ** (np.interp(np.arange(start, start + len(x)), places, gains_db) / 20)
        return (x * gain).astype(np.float32)


def look_over(path: Path, config: DecodeConfig) -> Intake:
    """Read a recording once, from start to end, in little memory, and decide how it is taken in.

    A first pass of its own, since a decision that is made on the way would hold for what came later only.

    Raises: DataError if it cannot be opened. Damage further on is left to the second pass.
    """
    with decode.open_recording(path, config, log_messages=False) as reader:
        found = channels.survey(reader.frames(), reader.sample_rate_in_hz, reader.channels_in)
    channel, why = channels.choose(found, config.channel)
    return Intake(channel, why, found.mean, _gains_db(found, -1 if channel == "mix" else channel), found.step)


def _gains_db(found: channels.Survey, column: int) -> NDArray[np.float64]:
    level_db = found.level_db(column)
    if level_db < NOTHING_DB:
        return np.zeros(1)
    levels_db = found.levels_db(column)
    if len(levels_db) <= 3:  # what is around each 5 s is all of it
        levels_db = np.full(1, level_db)
    return LISTENING_DB - np.maximum(levels_db, level_db - LOCAL_DB)


def take_in(
    reader: decode.Reader, intake: Intake, *, sample_rate: int, measures: RecordedMeasures | None = None
) -> Iterator[Audio]:
    """Yield a recording as mono blocks at a rate, without mean and rumble, at the level that it has.

    `measures` gets what the reader gives, at the recording's own rate.
    Shapes: -> (N_i,) each.
    Raises: DataError as Reader.
    """

    def mono(frames: Frames) -> Audio:
        taken = intake.mono(frames)
        if measures is not None:
            measures.push(intake.used(frames), taken)
        return taken

    def blocks() -> Iterator[Audio]:
        yield from reader.blocks(mono)
        if measures is not None:
            measures.finish()

    return without_rumble(blocks(), sample_rate=sample_rate)
