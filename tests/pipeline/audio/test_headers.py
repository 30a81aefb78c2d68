"""Headers announce a length, a wrong one or none; a stream gives new first bytes and the rest of a file."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.audio import headers

N = 1000


def audio(container: str) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, np.zeros(N, np.int16), 16000, format=container, subtype="PCM_16")
    return data.getvalue()


def with_sample_size(wav: bytes, size: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", size) + wav[at + 4 :]


@pytest.fixture
def opened(tmp_path):
    """Open bytes as an unbuffered file."""

    def write_and_open(data: bytes):
        (tmp_path / "x").write_bytes(data)
        return (tmp_path / "x").open("rb", buffering=0)

    return write_and_open


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (audio("WAV"), N),
        (audio("AIFF"), N),
        (audio("FLAC"), N),
        (audio("WAV")[:-1000], N),
        (with_sample_size(audio("WAV"), 6 * N), 3 * N),
        (with_sample_size(audio("WAV"), 2 * N + 44), N),
        (with_sample_size(audio("WAV"), 0xFFFFFFFF), N),
    ],
    ids=["wav", "aiff", "flac", "cut", "longer", "counts_its_header", "of_a_pipe"],
)
def test_announced_frames(data, frames, opened):
    with opened(data) as file, soundfile.SoundFile(file.name) as sound:
        assert headers.announced_frames(file, sound) == pytest.approx(frames, abs=1)


def test_a_wav_file_whose_size_is_zero_has_no_known_length(opened):
    with opened(with_sample_size(audio("WAV"), 0)) as file:
        head, offset = headers.find_unknown_length(file, "WAV")
        assert (offset, len(head), head[-4:]) == (44, 44, b"\xff" * 4)
    with opened(audio("WAV")) as file:
        assert headers.find_unknown_length(file, "WAV") is None


def test_a_stream_is_the_new_head_and_the_rest(opened):
    with (
        opened(b"0123456789") as file,
        headers.stream(file, b"head ", 4) as descriptor,
        os.fdopen(os.dup(descriptor), "rb") as reading,
    ):
        assert reading.read() == b"head 456789"
