"""Digest of a recording's samples, which is the same for every lossless file of the same audio."""

import hashlib
import io

import numpy as np
import soundfile

from clean_corpus.pipeline.audio.sources import SequentialFile, explain

_BLOCK = 2**18  # frames in memory at once
_STREAMINFO = slice(8, 42)  # of a FLAC file: the first metadata block, behind the name of the format and a head


def samples_md5(data: bytes) -> str:
    """Return the MD5 of a file's samples as 16-bit integers at its own rate, channels interleaved.

    That is what a FLAC file of 16 bits holds as the fingerprint of its audio, so that none of these is decoded. Bits
    beyond 16 are rounded: the same audio in 16-bit FLAC, 24-bit FLAC and float WAV has one digest.

    Source: RFC 9639, section 8.2 (Streaminfo).
    Raises: DataError if the bytes are not audio, or are damaged.
    """
    if stored := _flac_md5(data):
        return stored
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with SequentialFile(io.BytesIO(data)) as sound:
            while len(frames := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                digest.update(np.clip(np.rint(frames * 32768.0), -32768, 32767).astype("<i2").tobytes())
    except soundfile.LibsndfileError as error:
        raise explain(error) from None
    return digest.hexdigest()


def _flac_md5(data: bytes) -> str | None:
    """Return the fingerprint in the head of a FLAC file of 16 bits, None if there is none."""
    info = data[_STREAMINFO]
    if data[:4] != b"fLaC" or data[4] & 0x7F or len(info) < 34:
        return None
    bits = ((info[12] & 1) << 4 | info[13] >> 4) + 1
    return info[18:].hex() if bits == 16 and any(info[18:]) else None
