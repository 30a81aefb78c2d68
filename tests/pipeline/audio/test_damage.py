"""Any byte of a file may be wrong: it is read, or it fails with a reason of the list, and nothing else happens."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.reasons import Reason, reason_of
from tests.support.encoded import RATE, encoded, mp3, muxed

X = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / RATE)).astype(np.float32)
FILES = {
    **{container: encoded(X, container=container) for container in ("WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST")},
    "FLAC": encoded(X, container="FLAC") * 2,
    "MP3": mp3(X) * 2,
    "Ogg": encoded(X, container="OGG", subtype="VORBIS") * 2,
    "MP3 in WAV": muxed(X, RATE, "wav", "libmp3lame"),
    "M4A": muxed(X, RATE, "ipod", "aac"),
    "WebM": muxed(X, 48000, "webm", "libopus"),
    "AMR": muxed(X, 8000, "amr", "libopencore_amrnb"),
}
VARIANTS = 25


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file in which a few bytes are other ones, gone, added or all ones; mostly near its beginning."""
    b = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(b) if rng.random() < 0.5 else min(len(b), 200)))
        match rng.integers(4):
            case 0:
                b[at] = rng.integers(256)
            case 1:
                del b[at : at + int(rng.integers(1, 200))]
            case 2:
                b[at:at] = rng.bytes(int(rng.integers(1, 60)))
            case 3:
                b[at : at + 4] = b"\xff" * 4
    return bytes(b)


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_fails_with_a_reason(kind, tmp_path, capfd):
    rng = np.random.default_rng(len(FILES[kind]))
    for number in range(VARIANTS):
        (tmp_path / "x").write_bytes(damaged(FILES[kind], rng))
        try:
            with decode.open_recording(tmp_path / "x", DecodeConfig(sample_rate=16000), "x") as reader:
                n_samples = sum(map(len, reader.blocks()))
            assert n_samples <= 50 * len(X), number
        except DataError as error:
            assert reason_of(str(error)) is not Reason.OTHER_ERROR, (number, error)
    assert capfd.readouterr() == ("", "")
