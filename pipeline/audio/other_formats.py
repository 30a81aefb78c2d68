"""Formats that libsndfile does not read, known by their first bytes, and the library that reads them if it is there."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import struct
from collections.abc import Sequence
from typing import BinaryIO

from clean_corpus.pipeline.audio.sources import Source
from clean_corpus.pipeline.audio.splice import Part, find_pattern
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
_AGAIN = {  # beginnings that are long enough not to be found by chance inside a recording
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3.{1,8}\x42\x86\x81\x01", re.DOTALL),
    "asf": re.compile(re.escape(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c")),
    "amr": re.compile(rb"#!AMR(-WB)?\n"),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09"),
    "avi": re.compile(rb"RIFF....AVI LIST", re.DOTALL),
}
_BOX = re.compile(rb"[ -~\xa9]{4}")  # the name of a box
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
    if head[:4] == b"OggS" and os.pread(file.fileno(), 8, part.start + 28).startswith((b"\x01vorbis", b"OpusHead")):
        return None  # libsndfile's words count
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


def end_of(file: BinaryIO, start: int, size: int, demuxer: str) -> int:
    """Return where a recording in one of these formats ends: where another one may begin, or the end of the file."""
    if demuxer == "mov":
        return _end_of_boxes(file, start, size)
    again = _AGAIN.get(demuxer)
    end = find_pattern(file, again, start + 1, size) if again else size
    return end - 128 if os.pread(file.fileno(), 3, max(start, end - 128)) == b"TAG" else end  # ID3v1, no frame


def _end_of_boxes(file: BinaryIO, position: int, end: int) -> int:
    """Return where the boxes of an MP4 file end, or those of another one begin.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    first = position
    while len(head := os.pread(file.fileno(), 16, position)) >= 8:
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        if (name == b"ftyp" and position > first) or not _BOX.fullmatch(name) or (0 < length < 8):
            return position
        if length == 0 or position + length >= end:
            return end
        position += length
    return end


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
    try:
        from clean_corpus.pipeline.audio.ffmpeg import FFmpegSource
    except ImportError as error:
        raise DataError(f"unsupported format: {name}, since PyAV cannot be loaded: {error}") from None
    return FFmpegSource(file, part, name, demuxer, stack)
