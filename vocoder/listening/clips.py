"""The audio files of a listening test: every clip at one rate and one loudness, under its opaque name."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import decode, encode, loudness
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.vocoder.listening.signals import LOUDNESS_LUFS, headphone_tones, with_beeps
from clean_corpus.vocoder.listening.study import EXAMPLE_BEEPS, Study

TRUE_PEAK_DB = -1.0
QUIETEST_LUFS = -35.0  # a test may be lowered to this for its peakiest clip
RATES_HZ = (8000, 48000)  # the least and the most that a test plays


def write_clips(study: Study, folder: Path) -> float:
    """Write every file that the page plays as WAV; return their common loudness in LUFS.

    Raises: DataError for a recording that is broken, silent, or so peaky that the test would be too quiet.
    """
    paths = [study.recordings[s][u] for s, u in study.clip_ids]
    highest = min(max(map(_sample_rate, paths), default=RATES_HZ[0]), RATES_HZ[1])
    sample_rate = max(highest, RATES_HZ[0])  # one rate for all: a header must not tell systems apart
    loudness_lufs = _common_loudness_lufs(paths, sample_rate)

    def levelled(system: str, utterance: str) -> Audio:
        x = _read(study.recordings[system][utterance], sample_rate)
        return loudness.level(x, sample_rate, loudness_lufs=loudness_lufs, true_peak_db=TRUE_PEAK_DB)[0]

    def write(name: str, x: Audio) -> None:
        encode.write_wav(folder / f"{name}.wav", x, sample_rate)

    for (system, utterance), name in study.clip_ids.items():
        write(name, levelled(system, utterance))
    for utterance, name in study.open_ids.items():
        write(name, levelled(study.settings.reference, utterance))
    for trap in study.traps.values():
        write(trap.beeping, with_beeps(levelled(*trap.base), sample_rate, trap.n_beeps))
    first = min(study.clip_ids, key=study.clip_ids.get)
    write(study.example_id, with_beeps(levelled(*first), sample_rate, EXAMPLE_BEEPS))
    for name, (quiet, antiphase, _) in study.checks.items():
        _write_stereo(folder / f"{name}.wav", headphone_tones(quiet, antiphase, sample_rate), sample_rate)
    return round(loudness_lufs, 2)


def _sample_rate(path: Path) -> int:
    try:
        with decode.open_recording(path, DecodeConfig(sample_rate=RATES_HZ[1])) as reader:
            return reader.sample_rate_in_hz
    except DataError as error:
        raise DataError(f"{path}: {error}; replace it, or remove it from every system") from None


def _read(path: Path, sample_rate: int) -> Audio:
    try:
        with decode.open_recording(path, DecodeConfig(sample_rate=sample_rate)) as reader:
            return np.concatenate(list(reader.blocks()))
    except DataError as error:
        raise DataError(f"{path}: {error}; replace it, or remove it from every system") from None


def _common_loudness_lufs(paths: Sequence[Path], sample_rate: int) -> float:
    """Return the loudness that all clips reach below the true peak, so that none is quieter than the rest."""
    common = LOUDNESS_LUFS
    for path in paths:
        x = _read(path, sample_rate)
        lufs = loudness.loudness_lufs(x, sample_rate)
        if lufs is None:
            raise DataError(f"{path} is silent: there is nothing to rate; remove it from every system")
        reached = lufs + TRUE_PEAK_DB - loudness.true_peak_db(x, sample_rate)
        if reached < QUIETEST_LUFS:
            raise DataError(
                f"{path} reaches {reached:.1f} LUFS within {TRUE_PEAK_DB:g} dBTP, {QUIETEST_LUFS:g} needed to be as "
                "loud as the rest; remove the click in it, or the utterance from every system"
            )
        common = min(common, reached)
    return common


def _write_stereo(path: Path, x: Audio, sample_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, sample_rate, 0, "NONE", ""))
        file.writeframes(np.rint(x * 32767).astype("<i2").tobytes())
