"""Sizes that headers announce, true and wrong: all that a file holds is read, or it is named as truncated."""

import itertools
import struct
from contextlib import ExitStack

import numpy as np
import pytest

from clean_corpus.pipeline.audio import containers
from clean_corpus.pipeline.audio.opening import open_source
from tests.support.encoded import encoded, with_size

N = 9000
X = np.random.default_rng(0).uniform(-0.9, 0.9, N).astype(np.float32)
WAV = encoded(X)
LIST = b"LIST" + struct.pack("<I", 11) + b"INFO" + bytes(8)  # of odd size, padded
TAG = b"TAG" + b"x" * 125
SIZES = {  # of the containers that write one: mark, format of the size, gap between
    "WAV": (b"data", "<I", 0),
    "WAVEX": (b"data", "<I", 0),
    "RF64": (b"ds64", "<Q", 12),
    "W64": (b"data\xf3\xac", "<Q", 10),
    "AIFF": (b"SSND", ">I", 0),
    "AU": (b".snd", ">I", 4),
    "CAF": (b"data", ">q", 0),
}


def read(data: bytes, folder) -> tuple[int | None, np.ndarray]:
    """Return the announced frames of a file, and those that are there, (N,)."""
    (folder / "x").write_bytes(data)
    with ExitStack() as stack:
        source = open_source(folder / "x", stack)
        chunks = [np.zeros((0, 1), np.float32)]
        while len(frames := source.read(4096)):
            chunks.append(frames)
    return source.frames, np.concatenate(chunks)[:, 0]


@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("size", ["none", "ones", "small"])
def test_what_a_file_holds_is_read_whatever_its_header_says(container, size, tmp_path):
    mark, layout, gap = SIZES[container]
    bits = 8 * struct.calcsize(layout) - layout[-1].islower()
    value = {"none": 0, "ones": -1 if layout[-1] == "q" else 2**bits - 1, "small": 1000}[size]
    if layout[-1] == "Q" and size == "ones":
        value = 2**64 - 1
    _, y = read(with_size(encoded(X, container=container), mark, value, layout, gap=gap), tmp_path)
    np.testing.assert_allclose(y, X, atol=2**-15)


@pytest.mark.parametrize("container", [*SIZES, "NIST"])
def test_a_file_that_breaks_off_announces_what_is_gone(container, tmp_path):
    data = encoded(X, container=container)
    announced, y = read(data[: len(data) - N], tmp_path)
    assert announced == pytest.approx(N, abs=1)
    assert len(y) == pytest.approx(N // 2, abs=1)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFDB, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB])
def test_sizes_that_writers_to_a_pipe_leave(size, tmp_path):
    announced, y = read(with_size(WAV, b"data", size), tmp_path)
    assert (announced, len(y)) == (N, N)


@pytest.mark.parametrize("rest", [b"", LIST, LIST[:-3], TAG, bytes(5000), LIST + TAG, b"id3 \x10\0\0\0" + bytes(16)])
def test_what_stands_behind_the_samples_is_no_sample(rest, tmp_path):
    for x in (X, X[:1]):
        assert len(read(encoded(x) + rest, tmp_path)[1]) == len(x)


def test_a_wrapped_size_leaves_nothing_out(tmp_path):
    # 4 GiB and 3000 bytes of samples, 8 bits each, whose header counts modulo 4 GiB; a hole in the file takes no disk
    head = with_size(encoded(X[:1], subtype="PCM_U8"), b"data", 3000)[:44]
    for rest in (b"", LIST):
        with (tmp_path / "x").open("wb+", buffering=0) as file:
            file.write(head)
            file.seek(44 + 2**32 + 2999)
            file.write(b"\x80" + rest)
            size = file.tell()
            parts = containers.split(file, size)
        assert sum(part.end - part.start for part in parts) == 2**32 + 3000
        assert parts[0].start == 44
        assert all(a.end == b.start for a, b in itertools.pairwise(parts))
        for part in parts:
            assert struct.unpack("<I", part.head[40:44])[0] == part.end - part.start
        with ExitStack() as stack:
            assert open_source(tmp_path / "x", stack).frames == 2**32 + 3000


def test_samples_of_a_wrapped_file_are_cut_between_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("clean_corpus.pipeline.audio.headers._STEP", 1000)
    monkeypatch.setattr("clean_corpus.pipeline.audio.headers._MAX_WAV", 1000)
    _, y = read(with_size(encoded(X, subtype="PCM_24"), b"data", 700), tmp_path)
    np.testing.assert_allclose(y, X, atol=2**-23)


def test_a_recorder_that_counts_its_header_is_believed(tmp_path):
    assert read(with_size(WAV, b"data", 2 * N + 44), tmp_path)[0] == N
    assert read(with_size(WAV, b"data", 6 * N), tmp_path)[0] == 3 * N
