"""Formats of phones and browsers: exact lengths, damage by name, and words on what is missing without the extra."""

import sys

import numpy as np
import pytest

from clean_corpus.pipeline.audio import decode, other_formats
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.reasons import Reason, reason_of
from tests.support.encoded import encoded, mp3, muxed

# container and codec as FFmpeg names them, rate, name for people, and samples that may be missing or too many: none
# where the file says what its encoder added, a frame where it does not
FORMATS = [
    ("ipod", "aac", 44100, "M4A", 0),
    ("ipod", "alac", 16000, "M4A", 0),
    ("mp4", "aac", 16000, "MP4", 0),
    ("mp4", "libopus", 48000, "MP4", 0),
    ("mov", "pcm_s24le", 16000, "QuickTime", 0),
    ("3gp", "libopencore_amrnb", 8000, "3GP", 0),
    ("amr", "libopencore_amrnb", 8000, "AMR", 160),
    ("adts", "aac", 16000, "AAC", 2048),
    ("latm", "aac", 48000, "AAC", 2048),
    ("webm", "libopus", 48000, "WebM or Matroska", 0),
    ("matroska", "pcm_s16le", 16000, "WebM or Matroska", 0),
    ("matroska", "flac", 16000, "WebM or Matroska", 0),
    ("asf", "wmav2", 44100, "WMA", 2048),
    ("avi", "libmp3lame", 16000, "AVI", 2048),
    ("flv", "aac", 44100, "FLV", 2048),
    ("mpegts", "aac", 48000, "MPEG transport stream", 2048),
    ("wv", "wavpack", 16000, "WavPack", 0),
    ("tta", "tta", 16000, "True Audio", 0),
    ("ac3", "ac3", 48000, "AC-3", 2048),
    ("caf", "alac", 16000, "CAF", 0),
    ("wav", "wmav2", 16000, "WAV", 2048),
]
ID3 = b"ID3\x03\0\0\0\0\0\x10" + bytes(range(16))
LOSSLESS = {"alac": 2**-15, "pcm_s24le": 2**-23, "pcm_s16le": 2**-15, "flac": 2**-15, "wavpack": 2**-7, "tta": 2**-7}


def signal(rate: int) -> np.ndarray:
    """Return 1.3 s of a tone that rises from 200 Hz to 1 kHz, so that every shift shows."""
    time_s = np.arange(round(1.3 * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * time_s + 308 * time_s**2))).astype(np.float32)


def write(folder, container: str, codec: str, rate: int, **options: str) -> bytes:
    data = muxed(signal(rate), rate, container, codec, bit_rate=64000 if codec == "wmav2" else None, **options)
    (folder / "x").write_bytes(data)
    return data


def read(folder, rate: int, **settings) -> np.ndarray:
    with decode.open_recording(folder / "x", DecodeConfig(sample_rate=rate, **settings)) as reader:
        return np.concatenate(list(reader.blocks()))


@pytest.mark.parametrize(("container", "codec", "rate", "name", "slack"), FORMATS)
def test_length_place_and_level_are_kept(container, codec, rate, name, slack, tmp_path):
    write(tmp_path, container, codec, rate)
    with decode.open_recording(tmp_path / "x", DecodeConfig(sample_rate=rate)) as reader:
        assert (reader.format, reader.sample_rate_in_hz, reader.channels_in) == (name, rate, 1)
        y = np.concatenate(list(reader.blocks()))
    x = signal(rate)
    assert abs(len(y) - len(x)) <= slack
    if slack == 0:
        # AMR is a vocoder with 5 kbit/s, which keeps a voice and no waveform
        assert "amr" in codec or np.corrcoef(x, y)[0, 1] > 0.99
        if codec in LOSSLESS:
            np.testing.assert_allclose(y, x, atol=LOSSLESS[codec])


def test_channels_stay_apart(tmp_path):
    x = np.stack([signal(16000), np.zeros_like(signal(16000))], 1)
    data = muxed(x, 16000, "ipod", "alac")
    (tmp_path / "x").write_bytes(data)
    np.testing.assert_allclose(read(tmp_path, 16000, channel=0), x[:, 0], atol=2**-15)
    assert not read(tmp_path, 16000, channel=1).any()


@pytest.mark.parametrize(("container", "codec", "rate", "name", "slack"), FORMATS)
def test_without_the_extra_format_and_extra_are_named(container, codec, rate, name, slack, tmp_path, monkeypatch):
    write(tmp_path, container, codec, rate)
    monkeypatch.setattr(other_formats, "is_installed", lambda: False)
    with pytest.raises(DataError, match=r"^unsupported format: .*pip install 'clean-corpus\[formats\]'") as failure:
        read(tmp_path, rate)
    assert name in str(failure.value)
    assert reason_of(str(failure.value)) is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("webm", "libopus", {}),
        ("webm", "libopus", {"live": "1"}),  # as browsers write it: no length
        ("adts", "aac", {}),
        ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
        ("mp4", "aac", {}),
        ("matroska", "pcm_s16le", {}),
    ],
)
def test_what_breaks_off_is_truncated(container, codec, options, tmp_path):
    rate = 48000 if codec == "libopus" else 16000
    data = write(tmp_path, container, codec, rate, **options)
    (tmp_path / "x").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError) as failure:
        read(tmp_path, rate)
    assert reason_of(str(failure.value)) is Reason.TRUNCATED
    if container != "mp4" or options:
        assert 0.5 * rate < len(read(tmp_path, rate, allow_truncated=True)) < 1.2 * rate


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("webm", "libopus"), ("matroska", "flac")])
def test_damage_is_named_and_nothing_is_printed(container, codec, tmp_path, capfd):
    rate = 48000 if codec == "libopus" else 16000
    data = bytearray(write(tmp_path, container, codec, rate))
    data[len(data) // 2 : len(data) // 2 + 200] = b"\x55" * 200
    (tmp_path / "x").write_bytes(data)
    capfd.readouterr()
    with pytest.raises(DataError, match=r"^cannot decode: .+ at \d\.\d+ s"):
        read(tmp_path, rate)
    assert capfd.readouterr() == ("", "")


def test_what_has_no_sound_or_no_decoder_is_named(tmp_path):
    for data, words in (
        (b"#!SILK_V3" + bytes(99), "unsupported format: SILK"),
        (b"MThd\0\0\0\6" + bytes(99), "unsupported format: MIDI"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom" + b"\0\0\0\x08free", "cannot decode|truncated"),
        (b"\x1a\x45\xdf\xa3" + bytes(range(200)), "cannot decode|truncated"),
    ):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DataError, match=words):
            read(tmp_path, 16000)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("ipod", "aac", 16000),
        ("webm", "libopus", 48000),
        ("amr", "libopencore_amrnb", 8000),
        ("adts", "aac", 16000),
        ("asf", "wmav2", 44100),
        ("flv", "aac", 44100),
        ("avi", "libmp3lame", 16000),
    ],
)
def test_joined_recordings_are_read_to_the_end(container, codec, rate, tmp_path):
    data = write(tmp_path, container, codec, rate)
    alone = read(tmp_path, rate)
    for content, count in ((data + data, 2), (bytes(999) + data + data + b"TAG" + bytes(125), 2), (ID3 + data, 1)):
        (tmp_path / "x").write_bytes(content)
        assert len(read(tmp_path, rate)) == count * len(alone)
    (tmp_path / "x").write_bytes(data + mp3(signal(rate), rate))
    if container == "ipod":
        assert len(read(tmp_path, rate)) == 2 * len(alone)


def test_files_that_name_other_files_are_not_followed(tmp_path):
    (tmp_path / "secret.wav").write_bytes(encoded(signal(16000)))
    for text in (
        "#EXTM3U\n#EXTINF:1,\nsecret.wav\n",
        "ffconcat version 1.0\nfile secret.wav\n",
        "http://127.0.0.1:9/x.mp3\n",
    ):
        (tmp_path / "x").write_text(text)
        with pytest.raises(DataError, match=r"^not audio"):
            read(tmp_path, 16000)


def test_the_library_is_loaded_only_where_it_is_needed(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(encoded(signal(16000)))
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(read(tmp_path, 16000)) == len(signal(16000))
    monkeypatch.setattr(other_formats, "is_installed", lambda: True)
    monkeypatch.delitem(sys.modules, "clean_corpus.pipeline.audio.ffmpeg", raising=False)
    write(tmp_path, "ipod", "aac", 16000)
    with pytest.raises(DataError, match=r"^unsupported format: M4A, since PyAV cannot be loaded"):
        read(tmp_path, 16000)
