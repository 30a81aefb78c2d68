"""Audio files of the formats that people send, written to the same bytes each time, and those that are broken."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# the room audio writes what is published; the demo writes everything else
import soundfile

from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.demo.takes import Take

ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
}


def write_audio(path: Path, audio: Audio, sample_rate: int) -> None:
    """Write a recording in the format of its suffix.

    Shapes: audio (N,) or (N, channels).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    container, subtype = ENCODINGS[path.suffix]
    soundfile.write(path, audio, sample_rate, format=container, subtype=subtype)
    if container == "OGG":
        path.write_bytes(_with_ogg_serial(path.read_bytes(), 1))


def _with_ogg_serial(data: bytes, serial: int) -> bytes:
    """Return an Ogg file of one stream with a chosen serial number, where libsndfile puts a random one.

    Source: RFC 3533, section 6: serial at byte 14 of each page, CRC-32 (0x04c11db7, not reflected) at byte 22.
    """
    result = bytearray(data)
    start = 0
    while start < len(result):
        table = result[start + 27 : start + 27 + result[start + 26]]
        end = start + 27 + len(table) + sum(table)
        result[start + 14 : start + 18] = serial.to_bytes(4, "little")
        result[start + 22 : start + 26] = bytes(4)
        crc = 0
        for byte in result[start:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ _OGG_CRC[crc >> 24 ^ byte]
        result[start + 22 : start + 26] = crc.to_bytes(4, "little")
        start = end
    return bytes(result)


def _ogg_crc_entry(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


_OGG_CRC = [_ogg_crc_entry(byte) for byte in range(256)]


def write_odd_files(out: Path, takes: Sequence[Take], rng: np.random.Generator) -> None:
    """Write into `unsorted` what goes wrong: copies of takes, a cut file, a text named .wav, silence, mere noise."""
    first, second = [out / take.path for take in takes if take.name.endswith(".wav")][:2]
    flac = next(out / take.path for take in takes if take.name.endswith(".flac"))
    odd = out / "unsorted"
    odd.mkdir(exist_ok=True)
    shutil.copyfile(first, odd / "copy of a recording.wav")
    shutil.copyfile(flac, odd / "backup.flac")
    write_audio(odd / "sent by mail.mp3", *soundfile.read(second, dtype="float32"))
    whole = flac.read_bytes()
    (odd / "interrupted-upload.flac").write_bytes(whole[: len(whole) * 3 // 5])
    (odd / "shopping-list.wav").write_text("bread\nmilk\ntwo onions\n")
    write_audio(odd / "muted.wav", np.zeros(5 * 16000, np.float32), 16000)
    write_audio(odd / "empty-room.wav", 0.05 * coloured_noise(rng, 6 * 22050, slope=1), 22050)
