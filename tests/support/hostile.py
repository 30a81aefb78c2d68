"""One of each bad or odd input that a run must survive, with the end that each must come to."""

import os
import struct
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from clean_corpus.pipeline.core.types import Audio
from tests.support import signals
from tests.support.encoded import encoded, muxed, with_flac_length

TREATED = frozenset({"kept", "rejected"})
FAILED = frozenset({"failed"})
REJECTED = frozenset({"rejected"})
SECONDS = 3.0
SPOILT_SAMPLE = 16000
ODD_NAMES = (
    "two words and more.wav",
    "dots.in..the.name.wav",
    """it's "quoted".wav""",
    "line\nbreak.wav",
    os.fsdecode(b"caf\xe9.wav"),
    "x" * 196 + ".wav",
    "nested/same.wav",
    "nested/deeper/same.wav",
)


@dataclass(frozen=True)
class Expected:
    """Verdicts allowed for a file, and what the reason in its row contains."""

    verdicts: frozenset[str]
    reason: str | None = None


def write_hostile(folder: Path) -> dict[str, Expected]:
    """The files, as relative name -> what must become of them; every name must have a row, and nothing else one.

    Names are as the operating system has them (surrogate escapes for bytes that are not UTF-8). No two hold the same
    speech.
    """
    expected: dict[str, Expected] = {}

    def path(name: str, verdicts: frozenset[str], reason: str | None = None) -> Path:
        expected[name] = Expected(verdicts, reason)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return folder / name

    def speech(sample_rate: int = 16000) -> Audio:
        return signals.speech(SECONDS, seed=len(expected), sample_rate=sample_rate)

    # not audio
    path("empty.wav", FAILED, "empty_file").write_bytes(b"")
    path("ten-bytes.wav", FAILED, "not_audio").write_bytes(b"RIFF\x24\0\0\0WA")
    path("text.wav", FAILED, "not_audio").write_text("This is a letter and no recording.\n" * 50)
    Image.new("RGB", (64, 64), "teal").save(path("photo.mp3", FAILED, "not_audio"), "JPEG")

    # headers that do not tell the truth
    flac = path("truncated.flac", FAILED, "truncated")
    soundfile.write(flac, speech(), 16000)
    os.truncate(flac, flac.stat().st_size * 3 // 5)
    wav = path("truncated.wav", FAILED, "truncated")
    soundfile.write(wav, speech(), 16000)
    os.truncate(wav, wav.stat().st_size * 3 // 5)
    _write_wav(path("announces-more.wav", FAILED, "truncated"), speech(), data_bytes=lambda held: held * 3)
    _write_wav(path("announces-less.wav", TREATED | FAILED), speech(), data_bytes=lambda held: held // 2)
    _write_wav(path("streamed.wav", TREATED), speech(), data_bytes=lambda _: 0xFFFFFFFF)
    soundfile.write(path("wav-inside.flac", TREATED), speech(), 16000, format="WAV")

    # samples that are no speech, or no numbers
    spoilt = speech()
    spoilt[SPOILT_SAMPLE] = np.nan
    soundfile.write(path("not-a-number.wav", FAILED, "not_finite"), spoilt, 16000, subtype="FLOAT")
    soundfile.write(path("one-sample.wav", REJECTED | FAILED), np.full(1, 0.1, np.float32), 16000)
    soundfile.write(path("silence.wav", REJECTED, "no_speech"), signals.silence(SECONDS, 16000), 16000)
    soundfile.write(path("direct-current.wav", REJECTED, "no_speech"), np.full(48000, 0.3, np.float32), 16000)

    # unusual and good
    loud = speech()
    soundfile.write(path("over-full-scale.wav", TREATED), 4 * loud / np.abs(loud).max(), 16000, subtype="FLOAT")
    soundfile.write(path("8-channels.wav", TREATED), np.outer(speech(), np.linspace(1, 0.3, 8)), 16000)
    soundfile.write(path("8-khz.wav", TREATED), speech(8000), 8000)
    soundfile.write(path("192-khz.wav", TREATED), speech(192000), 192000)
    soundfile.write(path("24-bit.wav", TREATED), speech(), 16000, subtype="PCM_24")
    for name in ODD_NAMES:
        soundfile.write(os.fsencode(path(name, TREATED)), speech(), 16000, format="WAV")

    # formats of phones, and files that hold more than they should
    path("phone.m4a", TREATED).write_bytes(muxed(speech(), 16000, "ipod", "aac"))
    path("chat.silk", FAILED, "unsupported_format").write_bytes(b"\x02#!SILK_V3" + bytes(500))
    links = (encoded(speech(rate), rate, "OGG", "VORBIS") for rate in (16000, 22050))
    path("chained.ogg", FAILED, "joined").write_bytes(b"".join(links))
    path("month.flac", FAILED, "too_large").write_bytes(with_flac_length(encoded(speech(), container="FLAC"), 2**35))

    # what the file system does
    path("loop-a.wav", FAILED, "symlink_loop").symlink_to("loop-b.wav")
    path("loop-b.wav", FAILED, "symlink_loop").symlink_to("loop-a.wav")
    locked = path("locked.wav", TREATED if os.geteuid() == 0 else FAILED)  # root may read it all the same
    soundfile.write(locked, speech(), 16000)
    locked.chmod(0)
    path("nested/parent", FAILED, "symlink_loop").symlink_to("..", target_is_directory=True)
    return expected


def write_long(path: Path, *, hours: float = 3.0, seed: int = 0) -> None:
    """A 16 kHz, 16-bit WAV of one speaker's sentences with pauses of 0.3 to 2.5 s over light noise, 30 dB below.

    A few dozen renderings of sentences recur, so its utterances are near duplicates of each other. Never in memory
    whole: 173 million samples for 3 hours.
    """
    rng = np.random.default_rng(seed)
    source = signals.utterances(seed)
    sentences = [_int16(next(source) * 0.07) for _ in range(24)]
    noise = _int16(rng.standard_normal(60 * 16000) * 0.07 * 10 ** (-30 / 20))
    left = round(hours * 3600 * 16000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        while left:
            sentence = sentences[rng.integers(len(sentences))]
            length = min(left, len(sentence) + int(rng.uniform(0.3, 2.5) * 16000))
            start = rng.integers(len(noise) - length)
            block = noise[start : start + length].copy()
            block[: len(sentence)] += sentence[:length]
            file.writeframesraw(block.astype("<i2").tobytes())
            left -= length


def _write_wav(path: Path, audio: Audio, *, data_bytes: Callable[[int], int]) -> None:
    """A plain 16-bit WAV whose header announces `data_bytes(held)` bytes of samples."""
    samples = _int16(audio).astype("<i2").tobytes()
    announced = data_bytes(len(samples))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", min(announced + 36, 0xFFFFFFFF), b"WAVE")
    path.write_bytes(head + form + struct.pack("<4sI", b"data", announced) + samples)


def _int16(audio: Audio) -> np.ndarray:
    return np.rint(np.clip(audio, -1, 1) * 32767).astype(np.int16)
