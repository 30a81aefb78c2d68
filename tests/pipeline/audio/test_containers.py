"""Recordings joined in one file are read one after the other; what is damaged or different between them is named."""

import sys
from pathlib import Path

import numpy as np
import pytest

from clean_corpus.pipeline.audio import containers, decode, flac, mpeg
from clean_corpus.pipeline.audio.splice import Part
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.reasons import Reason, reason_of
from tests.support.encoded import RATE, encoded, mp3, muxed, with_flac_length

N = RATE  # frames of each recording
X = (0.5 * np.sin(2 * np.pi * 440 * np.arange(N) / RATE)).astype(np.float32)
Y = np.random.default_rng(0).uniform(-0.5, 0.5, N).astype(np.float32)
ID3 = b"ID3\x03\0\0\0\0\0\x10" + bytes(range(16))
TAG = b"TAG" + b"x" * 125
APE = b"APETAGEX\xd0\x07\0\0\x14\0\0\0\x01\0\0\0\0\0\0\xa0" + bytes(8) + b"x" * 20


def with_metadata(flac: bytes, content: bytes) -> bytes:
    """Return a FLAC file with one more block of metadata, before the others but the first."""
    return flac[:42] + b"\x02" + len(content).to_bytes(3, "big") + content + flac[42:]


FIRST = {
    "mp3": mp3(X),
    "mp3 vbr": mp3(X, bitrate_mode="VARIABLE", compression_level=0.5),
    "vorbis": encoded(X, container="OGG", subtype="VORBIS"),
    "opus": encoded(X, container="OGG", subtype="OPUS"),
    "flac": encoded(X, container="FLAC"),
    "wav": encoded(X),
    "aiff": encoded(X, container="AIFF"),
    "flac with a cover": with_metadata(encoded(X, container="FLAC"), b"RIFF\x10\0\0\0WAVE" + bytes(99)),
}
SECOND = {
    "mp3": mp3(Y),
    "mp3 vbr": mp3(Y),
    "vorbis": encoded(Y, container="OGG", subtype="OPUS"),
    "opus": encoded(Y, container="OGG", subtype="VORBIS"),
    "flac": encoded(Y, container="FLAC"),
    "wav": encoded(Y, container="FLAC"),
    "aiff": encoded(Y),
    "flac with a cover": encoded(Y),
}


def untagged(data: bytes) -> bytes:
    return data[mpeg.parse_header(data[:4]).size :]


def read(data: bytes, folder: Path, **settings) -> tuple[np.ndarray, str]:
    """Return the samples that are read of a file, and why it fails, "" if it does not."""
    path = folder / "x"
    path.write_bytes(data)
    chunks, error = [np.zeros(0, np.float32)], ""
    try:
        with decode.open_recording(path, DecodeConfig(sample_rate=16000, **settings)) as reader:
            chunks += reader.blocks()
    except DataError as failure:
        error = str(failure)
    return np.concatenate(chunks), error


@pytest.mark.parametrize("kind", FIRST)
def test_joined_recordings_are_read_to_the_end(kind, tmp_path):
    alone = [read(data, tmp_path)[0] for data in (FIRST[kind], SECOND[kind])]
    assert list(map(len, alone)) == [N, N]
    y, error = read(FIRST[kind] + SECOND[kind], tmp_path)
    assert not error
    np.testing.assert_array_equal(y, np.concatenate(alone))


@pytest.mark.parametrize("front", [ID3, ID3 + ID3, bytes(999), ID3 + bytes(99) + ID3, APE + ID3])
@pytest.mark.parametrize("kind", FIRST)
def test_tags_and_padding_in_front_are_passed_over(kind, front, tmp_path):
    assert len(read(front + FIRST[kind], tmp_path)[0]) == N


@pytest.mark.parametrize("between", [ID3, TAG, APE, TAG + ID3 + ID3, bytes(500)])
@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "vorbis"])
def test_tags_between_recordings_are_passed_over(kind, between, tmp_path):
    assert len(read(FIRST[kind] + between + SECOND[kind] + TAG, tmp_path)[0]) == 2 * N


def test_mp3_files_without_a_length_tag_are_joined(tmp_path):
    padding = 2 * 576 + 1105  # that a tag would say
    for data in (untagged(mp3(X)) + untagged(mp3(Y)), mp3(X) + untagged(mp3(Y)), untagged(mp3(X)) + mp3(Y)):
        y, error = read(data, tmp_path)
        assert not error
        assert 2 * N <= len(y) <= 2 * (N + padding)


def test_a_last_frame_that_is_cut_off_does_not_hide_the_next_recording(tmp_path):
    cut = mp3(X)[:-20]
    for between in (b"", ID3):
        assert len(read(cut + between + mp3(Y), tmp_path)[0]) == pytest.approx(2 * N, abs=600)


def test_thousands_of_joined_recordings_are_found(tmp_path):
    path = tmp_path / "x"
    path.write_bytes((mp3(X[:100]) + ID3) * 2000)
    with path.open("rb") as file:
        assert len(containers.split(file, path.stat().st_size)) == 2000


@pytest.mark.parametrize(
    ("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "PCM_16")]
)
@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (RATE, 2)])
def test_another_rate_or_other_channels_say_how_much_is_not_read(container, subtype, rate, channels, tmp_path):
    first = encoded(X, RATE, container, subtype)
    second = encoded(np.repeat(X[:, None], channels, 1), rate, container, subtype)
    _, error = read(first + second + second, tmp_path)
    held = f"{2 * N / rate:.3f} s of {rate} Hz and {channels} channels, not 16000 Hz and 1"
    assert error == f"joined: {held}, are not read at 1.000 s; split the file there"
    assert reason_of(error) is Reason.JOINED


def test_damage_in_an_mp3_file_is_named(tmp_path):
    data = mp3(np.concatenate([X, Y, X, Y]), bitrate_mode="CONSTANT", compression_level=0.5)
    middle = len(data) // 2
    _, error = read(data[:middle] + b"\x55" * 1500 + data[middle + 1500 :], tmp_path)
    assert error.startswith("cannot decode: damaged: ")
    assert read(data + b"behind it " * 20, tmp_path)[1] == ""
    assert "10000 bytes" in read(data + b"behind it " * 1000, tmp_path)[1]


def test_pages_that_an_ogg_file_lacks_are_named(tmp_path):
    data = encoded(np.tile(Y, 4), container="OGG", subtype="VORBIS")
    pages = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    assert "page 3 is missing" in read(data[: pages[3]] + data[pages[4] :], tmp_path)[1]
    assert "cannot decode: damaged: 99 bytes" in read(data[: pages[3]] + b"y" * 99 + data[pages[3] :], tmp_path)[1]
    assert read(data + b"\n", tmp_path)[1] == ""
    assert read(data[: pages[4] + 9], tmp_path)[1].startswith("truncated: the last page has 9 bytes of its header")
    y, error = read(data[: pages[4] + 99], tmp_path)
    assert error.startswith("truncated: the last page has ")
    y, error = read(data[: pages[4] + 99], tmp_path, allow_truncated=True)
    assert len(y) > N
    assert not error


def test_mp3_in_wav_is_whole(tmp_path):
    data = muxed(X, RATE, "wav", "libmp3lame")
    assert N <= len(read(data, tmp_path)[0]) <= N + 3000
    assert read(data[:-500], tmp_path)[1].startswith("truncated: header announces ")


def test_mp3_behind_what_is_no_audio_is_found(tmp_path):
    y, error = read(b"no audio at all " * 300 + FIRST["mp3"], tmp_path)
    assert (len(y), error) == (N, "")
    assert reason_of(read(bytes(100_000), tmp_path)[1]) is Reason.NOT_AUDIO


def test_what_a_decoder_remarks_is_logged_once_with_the_name_of_the_recording(tmp_path, capfd, caplog):
    data = bytearray(mp3(np.tile(Y, 4)))
    at = 0
    while frame := mpeg.parse_header(bytes(data[at : at + 4])):
        if at > len(data) // 2:
            data[at + 30 : at + 60] = b"\x55" * 30  # inside frames
        at += frame.size
    path = tmp_path / "x"
    path.write_bytes(data)
    capfd.readouterr()
    with decode.open_recording(path, DecodeConfig(sample_rate=16000), "a/b.mp3") as reader:
        assert sum(map(len, reader.blocks())) == pytest.approx(4 * N, abs=2000)
        print("still heard", file=sys.stderr)
    assert capfd.readouterr().err == "still heard\n"
    (record,) = caplog.records
    assert record.getMessage().startswith("a/b.mp3: its decoder says: ")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("announced", [1, 4096, 12287, 2 * N - 5000])
def test_a_flac_file_that_announces_too_little_is_read_to_its_end(announced, subtype, tmp_path):
    data = encoded(np.concatenate([X, Y]), container="FLAC", subtype=subtype)
    y, error = read(with_flac_length(data, announced), tmp_path)
    assert (len(y), error) == (2 * N, "")
    assert len(read(data, tmp_path)[0]) == 2 * N


def test_numbers_of_flac_frames_of_any_width_are_read(tmp_path):
    # 40 s in blocks of 4096 have frame numbers of two bytes
    data = encoded(np.tile(Y, 40), container="FLAC")
    with (tmp_path / "x").open("wb+") as file:
        file.write(data)
        file.flush()
        assert flac.part(file, 0, len(data)) == Part(0, len(data))
        assert flac._end_of_last_frame(file, flac.first_frame(file, 0, len(data)), len(data)) == 40 * N // 4096 * 4096
