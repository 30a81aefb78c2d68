"""The demo corpus: espeak-ng speaks into generated rooms and noises, so that no recording has to be shipped."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.demo.files import write_audio, write_odd_files
from clean_corpus.pipeline.demo.speakers import SENTENCES, SPEAKERS
from clean_corpus.pipeline.demo.takes import ACCIDENTS, Take, draw_takes, render, timed_speech

ODD_FILES = 9  # the files of write_corpus that are not single takes
FEWEST_CLIPS = ODD_FILES + 12  # below, the takes lack a plain WAV or FLAC to copy


def write_corpus(out: Path, *, clips: int = 41, seed: int = 0, clean_references: Path | None = None) -> None:
    """Write so many recordings: a folder per speaker with its metadata.csv, and one of what goes wrong.

    Besides the takes these are two long readings, one with time stamps and one with a text for all of it, and, in
    `unsorted`, two exact duplicates, an MP3 of a WAV, a FLAC cut short, a text file named .wav, silence and noise
    without speech. Clean references, if a folder is given for them, are WAV files under the relative names of the
    takes, at their rates and aligned to them in time. The same arguments give the same bytes.

    Raises: ConfigError if `clips` is too small to hold one of each.
    """
    if clips < FEWEST_CLIPS:
        raise ConfigError(f"demo: {clips} clips cannot hold one of each kind; {FEWEST_CLIPS} or more")
    takes = draw_takes(clips - ODD_FILES, seed)
    timed, untimed = _reading("george", slice(10)), _reading("amelia", slice(8, 14), rt60_s=0.2, snr_db=30.0)
    for index, take in enumerate([*takes, timed, untimed]):
        noisy, clean = render(take, np.random.default_rng([seed, index]))
        write_audio(out / take.path, noisy, take.sample_rate)
        _write_sidecar(out, take)
        if clean_references is not None:
            write_audio((clean_references / take.path).with_suffix(".wav"), clean, take.sample_rate)
    times_s = timed_speech(timed, np.random.default_rng([seed, len(takes)]))[1]
    (out / timed.path).with_suffix(".srt").write_text(_subtitles(timed.sentences, times_s), "utf-8")
    _write_metadata(out, [*takes, untimed])
    write_odd_files(out, takes[len(ACCIDENTS) :], np.random.default_rng([seed, clips]))


def _reading(speaker: str, sentences: slice, *, rt60_s: float = 0.3, snr_db: float = 20.0) -> Take:
    known = SPEAKERS[speaker]
    return Take(
        speaker=speaker,
        name=f"{speaker}-reading.flac",
        sentences=SENTENCES["en"][sentences],
        sample_rate=44100,
        rate_wpm=known.rate_wpm,
        pitch=known.pitch,
        rt60_s=rt60_s,
        noise="pink",
        snr_db=snr_db,
    )


def _subtitles(sentences: Sequence[str], times_s: Sequence[tuple[float, float]]) -> str:
    """Return sentences with their times as SubRip.

    >>> _subtitles(["Hello."], [(0.5, 61.25)])
    '1\\n00:00:00,500 --> 00:01:01,250\\nHello.\\n'
    """
    cues = []
    for number, (sentence, times) in enumerate(zip(sentences, times_s, strict=True), 1):
        start, end = (f"{s // 3600:02.0f}:{s % 3600 // 60:02.0f}:{s % 60:06.3f}".replace(".", ",") for s in times)
        cues.append(f"{number}\n{start} --> {end}\n{sentence}\n")
    return "\n".join(cues)


def _write_sidecar(out: Path, take: Take) -> None:
    speaker = SPEAKERS[take.speaker]
    about = {"speaker": take.speaker, "language": speaker.language, "licence": "generated"}
    if speaker.consent:
        about["consent"] = speaker.consent
    (out / take.path).with_suffix(".json").write_text(json.dumps(about) + "\n", "utf-8")


def _write_metadata(out: Path, takes: Sequence[Take]) -> None:
    lines: dict[str, list[str]] = {}
    for take in takes:
        lines.setdefault(take.speaker, []).append(f"{Path(take.name).stem}|{' '.join(take.sentences)}\n")
    for speaker, rows in lines.items():
        (out / speaker / "metadata.csv").write_text("".join(rows), "utf-8")
