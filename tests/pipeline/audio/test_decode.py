"""Decoding, against files whose content is known; damage of each kind, against the message it must give."""

import io
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio
from tests.support.encoded import with_flac_length

RATE = 16000
RIGHT = DecodeConfig(sample_rate=16000)
KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(freq_hz: float, sample_rate: int, *, duration_s: float, peak: float = 0.5) -> Audio:
    time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    return (peak * np.sin(2 * np.pi * freq_hz * time_s)).astype(np.float32)


def noise(n_samples: int) -> Audio:
    return np.random.default_rng(0).uniform(-0.9, 0.9, n_samples).astype(np.float32)


def encoded(x: Audio, rate: int = RATE, container: str = "WAV", subtype: str = "PCM_16", **options) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, x, rate, format=container, subtype=subtype, **options)
    return data.getvalue()


def read(data: bytes, folder: Path, config: DecodeConfig = RIGHT, name: str = "x.bin") -> Audio:
    path = folder / name
    path.write_bytes(data)
    with decode.open_recording(path, config) as recording:
        return np.concatenate(list(recording.blocks()))


def with_sample_size(wav: bytes, size: int) -> bytes:
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", size) + wav[at + 4 :]


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_every_format_keeps_length_frequency_and_level(container, subtype, tmp_path):
    x = tone(440, RATE, duration_s=1.3)
    path = tmp_path / "x.raw"
    path.write_bytes(encoded(x, container=container, subtype=subtype))
    with decode.open_recording(path, RIGHT) as recording:
        assert (recording.sample_rate_in_hz, recording.channels_in, recording.frames_in) == (RATE, 1, len(x))
        assert (recording.format, recording.subtype) == (container, subtype)
        y = np.concatenate(list(recording.blocks()))
    assert y.dtype == np.float32
    assert len(y) == len(x)
    # a codec for ears may be 35 dB off in the waveform, integers are off by their last bit
    error = 0.02 if subtype in ("VORBIS", "OPUS", "MPEG_LAYER_III") else 2**-15
    inner = slice(RATE // 10, -RATE // 10)  # the tone's hard ends smear
    assert np.sqrt(np.mean((y - x)[inner] ** 2)) < error


@pytest.mark.parametrize("rate_in", [8000, 11025, 22050, 44100, 48000, 192000])
def test_resampled_tone_keeps_level_and_frequency(rate_in, tmp_path):
    y = read(encoded(tone(997, rate_in, duration_s=2.0), rate_in, subtype="FLOAT"), tmp_path)
    expected = tone(997, RATE, duration_s=2.0)
    assert len(y) == len(expected)
    inner = slice(RATE // 4, -RATE // 4)  # the tone's hard ends ring
    error_db = 20 * np.log10(np.std((y - expected)[inner]) / np.std(expected[inner]))
    assert error_db < -60


def test_resampling_leaves_nothing_above_the_new_band(tmp_path):
    y = read(encoded(tone(9500, 48000, duration_s=1.0), 48000, subtype="FLOAT"), tmp_path)
    assert 20 * np.log10(np.std(y[2000:-2000])) < -90


@pytest.mark.parametrize("rate_in", [16000, 44100])
def test_blocks_equal_the_whole_file_resampled(rate_in, tmp_path):
    x = noise(rate_in * 25 + 7)
    path = tmp_path / "x.wav"
    path.write_bytes(encoded(x, rate_in, subtype="FLOAT"))
    with decode.open_recording(path, RIGHT) as recording:
        blocks = list(recording.blocks())
    assert [round(len(block) / RATE) for block in blocks] == [10, 10, 5]
    # soxr resamples in its own blocks either way; float32 rounding is all that may differ
    np.testing.assert_allclose(np.concatenate(blocks), soxr.resample(x, rate_in, RATE, quality="HQ"), atol=1e-6)


def test_mix_is_the_mean_and_a_channel_is_itself(tmp_path):
    x = np.zeros((RATE, 8), np.float32)
    x[:, 5] = tone(440, RATE, duration_s=1.0)
    data = encoded(x, subtype="FLOAT")
    np.testing.assert_allclose(read(data, tmp_path), x[:, 5] / 8, atol=1e-7)
    np.testing.assert_array_equal(read(data, tmp_path, DecodeConfig(sample_rate=16000, channel=5)), x[:, 5])
    assert not read(data, tmp_path, DecodeConfig(sample_rate=16000, channel=4)).any()
    for missing in (8, -1):
        with pytest.raises(DataError, match=rf"channel is {missing}, file has 8,"):
            read(data, tmp_path, DecodeConfig(sample_rate=16000, channel=missing))


def test_values_over_full_scale_pass_through(tmp_path):
    x = tone(440, RATE, duration_s=0.5, peak=3.0)
    np.testing.assert_array_equal(read(encoded(x, subtype="FLOAT"), tmp_path), x)


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_what_is_not_finite_is_named_with_its_place(value, shown, tmp_path):
    x = np.zeros((RATE * 2, 2), np.float32)
    x[24000, 1] = value
    with pytest.raises(DataError, match=rf"^not finite: sample at 1\.500 s is {shown}$"):
        read(encoded(x, subtype="FLOAT"), tmp_path)


def test_content_decides_and_not_the_name(tmp_path):
    x = noise(2000)
    for name in ("x.flac", "x.raw", "x", "two words.'quoted'\n.mp3"):
        assert len(read(encoded(x), tmp_path, name=name)) == len(x)
    with decode.open_recording(tmp_path / "x.flac", RIGHT) as recording:
        assert recording.format == "WAV"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^empty file$"),
        (b"RIFF\x24\0\0\0WA", "^not audio: "),
        (b"0123456789", "^not audio: "),
        (b"a text that calls itself .wav\n" * 50, "^not audio: "),
        ("a text that begins like MPEG\n".encode("utf-16") * 50, "^not audio: "),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 20, "^not audio: "),
        (encoded(noise(100))[:44], "^no samples"),
        (encoded(noise(0)), "^no samples"),
        (encoded(noise(1), 44100), "^no samples: fewer than one at 16000 Hz$"),
        (encoded(noise(100), 1), "^sample rate: 1 Hz, expected"),
        (encoded(noise(RATE), container="OGG", subtype="OPUS")[:300], "^cannot decode: .*malformed$"),
    ],
    ids=[
        "empty",
        "ten_of_wav",
        "ten",
        "text",
        "utf16",
        "jpeg",
        "wav_header",
        "no_samples",
        "one_at_44100",
        "1_hz",
        "opus_header",
    ],
)
def test_what_is_not_a_recording_says_why(data, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read(data, tmp_path)


def test_one_sample_is_a_recording(tmp_path):
    assert len(read(encoded(noise(1)), tmp_path)) == 1


def test_a_file_that_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(DataError, match=r"^cannot be read: No such file"):
        decode.open_recording(tmp_path / "gone.wav", RIGHT)


@pytest.mark.parametrize(
    ("container", "subtype", "held_s"),
    [("WAV", "PCM_16", 0.4), ("WAVEX", "PCM_24", 0.4), ("AIFF", "PCM_16", 0.4), ("FLAC", "PCM_16", 0.256)],
)
def test_truncated_files(container, subtype, held_s, tmp_path):
    x = noise(int(3.2 * RATE))
    whole = encoded(x, container=container, subtype=subtype)
    part = whole[: len(whole) // 8 + 30]
    with pytest.raises(DataError, match=r"^truncated: header announces 3\.200 s, file holds 0\.\d+ s; .*: true$"):
        read(part, tmp_path)
    y = read(part, tmp_path, DecodeConfig(sample_rate=16000, allow_truncated=True))
    # FLAC packs this noise evenly, and is read up to its last whole frame of 4096
    assert len(y) / RATE == pytest.approx(held_s, abs=0.005)
    np.testing.assert_allclose(y, x[: len(y)], atol=2**-15)


def test_truncated_mp3_with_a_tag(tmp_path):
    whole = encoded(tone(440, RATE, duration_s=3.2), container="MP3", subtype="MPEG_LAYER_III")
    with pytest.raises(DataError, match=r"^truncated: header announces 3\.200 s"):
        read(whole[: len(whole) // 2], tmp_path)


def test_damage_inside_a_flac_file_is_not_truncation(tmp_path):
    data = bytearray(encoded(noise(RATE * 3), container="FLAC"))
    data[len(data) // 3 : len(data) // 3 + 50] = b"\x55" * 50
    with pytest.raises(DataError, match=r"^cannot decode: .*flac decoder.* at 0\.\d+ s$"):
        read(bytes(data), tmp_path, DecodeConfig(sample_rate=16000, allow_truncated=True))


def test_an_id3_tag_behind_a_flac_file_is_harmless(tmp_path):
    x = noise(10000)
    assert len(read(encoded(x, container="FLAC") + b"TAG" + bytes(125), tmp_path)) == len(x)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFDB, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB])
def test_wav_headers_of_streams_announce_nothing(size, tmp_path):
    x = noise(50000)
    np.testing.assert_allclose(read(with_sample_size(encoded(x), size), tmp_path), x, atol=2**-15)


def test_wav_headers_that_lie(tmp_path):
    wav = encoded(noise(RATE))
    assert len(read(with_sample_size(wav, 8000), tmp_path)) == RATE  # all that is there
    assert len(read(with_sample_size(wav, 2 * RATE + 44), tmp_path)) == RATE  # a recorder that counted the header
    with pytest.raises(DataError, match=r"^truncated: header announces 3\.000 s, file holds 1\.000 s"):
        read(with_sample_size(wav, 6 * RATE), tmp_path)


def test_a_wav_with_no_samples_and_a_trailing_chunk_is_empty(tmp_path):
    with pytest.raises(DataError, match=r"^no samples"):
        read(encoded(noise(0)) + b"LIST" + struct.pack("<I", 400) + bytes(400), tmp_path)


def test_mp3_without_a_length_tag_is_read_to_its_end(tmp_path):
    x = np.concatenate([tone(440, RATE, duration_s=20.0), noise(20 * RATE)])
    tagged = encoded(x, container="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5)
    untagged = tagged[tagged.index(tagged[:2], tagged.index(b"Xing")) :]
    assert soundfile.info(io.BytesIO(untagged)).duration < 20  # what libsndfile makes of it
    for prefix in (b"", b"ID3\x03\0\0\0\x10\0\0" + bytes(16 << 14)):  # as with a picture
        # with its tag the file would also say how much padding to cut: up to 1105 + 1152 samples
        assert len(x) <= len(read(prefix + untagged, tmp_path)) <= len(x) + 2300


def test_leaving_an_endless_stream_early_leaves_nothing_behind(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(with_sample_size(encoded(noise(60 * RATE)), 0))
    before = set(os.listdir("/proc/self/fd"))
    with decode.open_recording(path, RIGHT) as recording:
        next(recording.blocks())
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_refused_file_is_closed(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(DataError):
        read(b"no audio", tmp_path)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_an_hour_is_read_in_little_memory(tmp_path):
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(noise(60 * 8000))
    # in a process of its own, whose high-water mark nothing else has raised
    script = """
        import resource, sys
        from pathlib import Path
        from clean_corpus.pipeline.audio.decode import open_recording
        from clean_corpus.pipeline.core.config import DecodeConfig

        peak_kib = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open_recording(Path(sys.argv[1]), DecodeConfig(sample_rate=16000)) as recording:
            blocks = recording.blocks()
            n_samples = len(next(blocks))
            before = peak_kib()
            n_samples += sum(map(len, blocks))
        print(n_samples, peak_kib() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]).stdout
    n_samples, growth_kib = map(int, out.split())
    assert n_samples == 3600 * RATE
    assert growth_kib < 20 * 1024  # the whole would be 225 MiB


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"no audio", "^not audio"), (encoded(np.zeros((9, 2), np.float32)), "has 2 channels, expected 1")],
)
def test_a_member_that_is_no_clip_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        decode.decode(data)


def test_a_month_of_silence_is_refused_by_its_header(tmp_path):
    month = with_flac_length(encoded(np.zeros(9000, np.float32), container="FLAC"), 720 * 3600 * RATE)
    with pytest.raises(DataError, match=r"^too large: header announces 720 h, audio.max_hours is 24; split it, or"):
        read(month, tmp_path)
    with pytest.raises(
        DataError, match=r"^too large: header announces 165.9 GB of samples, audio.max_decoded_gb is 100"
    ):
        read(month, tmp_path, DecodeConfig(sample_rate=16000, max_hours=1000))


@pytest.mark.parametrize("settings", [{"max_hours": 1 / 3600}, {"max_decoded_gb": 4e-9 * RATE}])
def test_a_recording_without_a_length_is_read_to_the_limit(settings, tmp_path):
    (tmp_path / "x").write_bytes(with_flac_length(encoded(noise(35 * RATE), container="FLAC"), 0))
    with decode.open_recording(tmp_path / "x", DecodeConfig(sample_rate=16000, **settings)) as reader:
        assert reader.frames_in is None
        with pytest.raises(DataError, match=r"^too large: file holds more than"):
            list(reader.blocks())
    with decode.open_recording(tmp_path / "x", DecodeConfig(sample_rate=16000, max_hours=0.01)) as reader:
        assert sum(map(len, reader.blocks())) == 35 * RATE


def test_a_clip_in_memory_has_a_limit_too(monkeypatch):
    monkeypatch.setattr(decode, "_MAX_CLIP", 5000)
    for n_samples, x in ((6000, noise(6000)), (0, noise(6000)), (10**10, noise(100))):
        with pytest.raises(DataError, match=r"^too large: clip has more than the 5000 frames"):
            decode.decode(with_flac_length(encoded(x, container="FLAC"), n_samples))
    streamed = with_flac_length(encoded(noise(4000), container="FLAC"), 0)
    assert (len(decode.decode(streamed)[0]), decode.length(streamed)) == (4000, (4000, RATE))
