"""Formats that libsndfile does not read, known by their first bytes, and the library that reads them if it is there."""

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from typing import BinaryIO

from clean_corpus.pipeline.audio.sources import Source
from clean_corpus.pipeline.audio.splice import Part
from clean_corpus.pipeline.core.errors import DataError

EXTRA = "pip install 'clean-corpus[formats]'"
_BEGINNINGS: Sequence[tuple[int, bytes, str, str]] = (  # place, bytes, name for people, FFmpeg's demuxer
    (4, b"ftypM4A", "M4A", "mov"),
    (4, b"ftypM4B", "M4A", "mov"),
    (4, b"ftyp3g", "3GP", "mov"),
    (4, b"ftypqt", "QuickTime", "mov"),
    (4, b"ftyp", "MP4", "mov"),
    (4, b"moov", "QuickTime", "mov"),
    (4, b"mdat", "QuickTime", "mov"),
    (4, b"wide", "QuickTime", "mov"),
    (4, b"moof", "MP4", "mov"),
    (4, b"styp", "MP4", "mov"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska", "matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA", "asf"),
    (0, b"#!AMR", "AMR", "amr"),
    (0, b"ADIF", "AAC", "aac"),
    (8, b"AVI ", "AVI", "avi"),
    (8, b"QLCM", "QCP", "qcp"),
    (0, b"FLV\x01", "FLV", "flv"),
    (0, b"\0\0\x01\xba", "MPEG video", "mpeg"),
    (0, b"wvpk", "WavPack", "wv"),
    (0, b"MAC ", "Monkey's Audio", "ape"),
    (0, b"TTA1", "True Audio", "tta"),
    (0, b"MPCK", "Musepack", "mpc8"),
    (0, b"MP+", "Musepack", "mpc"),
    (0, b"DSD ", "DSD", "dsf"),
    (0, b"FRM8", "DSD", "iff"),
    (0, b".RMF", "RealAudio", "rm"),
    (0, b".ra\xfd", "RealAudio", "rm"),
    (0, b"\x0b\x77", "AC-3", "ac3"),
    (0, b"\x7f\xfe\x80\x01", "DTS", "dts"),
    (0, b"tBaK", "TAK", "tak"),
    (0, b"ajkg", "Shorten", "shn"),
)
_UNREADABLE = (  # known, and read by no library here
    (0, b"#!SILK", "SILK"),
    (1, b"#!SILK", "SILK"),
    (0, b"MThd", "MIDI, which holds notes and no sound"),
    (0, b"OFR ", "OptimFROG"),
)
_UNUSUAL_CODECS = (  # containers that libsndfile reads, with codecs that it may not
    (0, b"OggS", "Ogg", "ogg"),
    (0, b"caff", "CAF", "caf"),
    (0, b"RIFF", "WAV", "wav"),
    (0, b"FORM", "AIFF", "aiff"),
    (0, b"NIST_1A", "SPHERE", "nistsphere"),
)
_ADTS_FRAMES = 3  # in a row, which is not chance
_TS_PACKET = 188  # bytes


def demuxer_of(file: BinaryIO, part: Part, *, unusual: bool = False) -> tuple[str, str] | None:
    """Return a format's name for people and for FFmpeg, None if it is none that only FFmpeg reads.

    With `unusual`, for a file that libsndfile knows and does not decode.

    Raises: DataError if the format is known to be readable by no library here.
    """
    head = os.pread(file.fileno(), 32, part.start)
    for place, mark, name in _UNREADABLE:
        if head[place:].startswith(mark):
            raise DataError(f"unsupported format: {name}; convert it to FLAC or WAV")
    for place, mark, name, demuxer in _UNUSUAL_CODECS if unusual else _BEGINNINGS:
        if head[place:].startswith(mark):
            return name, demuxer
    if not unusual and _is_adts(file, part):
        return "AAC", "aac"
    if not unusual and len(head) > 2 and head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return "AAC", "loas"
    if not unusual and all(os.pread(file.fileno(), 1, part.start + n * _TS_PACKET) == b"\x47" for n in range(5)):
        return "MPEG transport stream", "mpegts"
    return None


def _is_adts(file: BinaryIO, part: Part) -> bool:
    """Return whether AAC frames with ADTS headers follow each other. Source: ISO/IEC 13818-7, section 6.2."""
    position = part.start
    for _ in range(_ADTS_FRAMES):
        head = os.pread(file.fileno(), 7, position)
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
            return False
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        position += max(7, length)
        if position >= part.end:
            break
    return True


def is_installed() -> bool:
    """Return whether the library of these formats is there."""
    return importlib.util.find_spec("av") is not None


def version() -> str:
    """Return the version of the library of these formats, and that it is not there if it is not."""
    return f"av {importlib.metadata.version('av')}" if is_installed() else "no av"


def open_part(file: BinaryIO, part: Part, found: tuple[str, str], stack: contextlib.ExitStack) -> Source:
    """Open a part of a file in a format that FFmpeg reads; what is opened is closed with `stack`.

    Raises: DataError if the library is not there, or cannot decode the file.
    """
    name, demuxer = found
    if not is_installed():
        raise DataError(f"unsupported format: {name} needs an extra; {EXTRA}")
    from clean_corpus.pipeline.audio.ffmpeg import FFmpegSource

    return FFmpegSource(file, part, name, demuxer, stack)
