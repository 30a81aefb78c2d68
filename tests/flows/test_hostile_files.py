"""The bad inputs are as bad as they say; what a run makes of them is tested with the run."""

import os
import struct
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.hostile import ODD_NAMES, SPOILT_SAMPLE, Expected, write_hostile, write_long


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Expected]]:
    folder = tmp_path_factory.mktemp("hostile")
    return folder, write_hostile(folder)


def announced_and_held_bytes(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    start = data.index(b"data") + 8
    return struct.unpack("<I", data[start - 4 : start])[0], len(data) - start


def test_expectations_name_exactly_the_files_that_are_there(hostile):
    folder, expected = hostile
    found = {
        os.path.relpath(os.path.join(place, name), folder)
        for place, folders, names in os.walk(folder)  # follows no links
        for name in [*names, *(f for f in folders if os.path.islink(os.path.join(place, f)))]
    }
    assert found == set(expected)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("text.wav", b"This is"),
        ("photo.mp3", b"\xff\xd8\xff"),
        ("wav-inside.flac", b"RIFF"),
        ("truncated.flac", b"fLaC"),
    ],
)
def test_content_begins_with(hostile, name, start):
    assert (hostile[0] / name).read_bytes().startswith(start)


@pytest.mark.parametrize(("name", "size"), [("empty.wav", 0), ("ten-bytes.wav", 10)])
def test_size(hostile, name, size):
    assert (hostile[0] / name).stat().st_size == size


def test_headers_lie_in_the_direction_they_say(hostile):
    folder, _ = hostile
    for name in ("truncated.wav", "announces-more.wav"):
        announced, held = announced_and_held_bytes(folder / name)
        assert announced > 1.5 * held
    announced, held = announced_and_held_bytes(folder / "announces-less.wav")
    assert announced == held / 2
    assert announced_and_held_bytes(folder / "streamed.wav")[0] == 0xFFFFFFFF


def test_truncated_flac_breaks_off(hostile):
    announced = soundfile.info(hostile[0] / "truncated.flac").frames
    held = sum(len(block) for block in _blocks_until_error(hostile[0] / "truncated.flac"))
    assert announced == 48000
    assert 0.4 * announced < held < 0.8 * announced  # cut at 3/5 of the bytes


def _blocks_until_error(path: Path) -> list[np.ndarray]:
    blocks = []
    with soundfile.SoundFile(path) as file, pytest.raises(soundfile.LibsndfileError):
        while len(block := file.read(256)):
            blocks.append(block)
    return blocks


def test_streamed_wav_holds_all_its_samples(hostile):
    audio, sample_rate = soundfile.read(hostile[0] / "streamed.wav")
    assert (len(audio), sample_rate) == (48000, 16000)


def test_samples(hostile):
    folder, _ = hostile

    def samples(name: str) -> np.ndarray:
        return soundfile.read(folder / name)[0]

    assert np.flatnonzero(~np.isfinite(samples("not-a-number.wav"))).tolist() == [SPOILT_SAMPLE]
    assert np.abs(samples("over-full-scale.wav")).max() == pytest.approx(4)
    assert len(samples("one-sample.wav")) == 1
    assert not samples("silence.wav").any()
    assert np.ptp(samples("direct-current.wav")) == 0 < samples("direct-current.wav")[0]


@pytest.mark.parametrize(
    ("name", "channels", "sample_rate", "subtype"),
    [
        ("8-channels.wav", 8, 16000, "PCM_16"),
        ("8-khz.wav", 1, 8000, "PCM_16"),
        ("192-khz.wav", 1, 192000, "PCM_16"),
        ("24-bit.wav", 1, 16000, "PCM_24"),
    ],
)
def test_unusual_formats(hostile, name, channels, sample_rate, subtype):
    info = soundfile.info(hostile[0] / name)
    assert (info.channels, info.samplerate, info.subtype) == (channels, sample_rate, subtype)
    assert info.duration == 3


def test_names(hostile):
    names = os.listdir(os.fsencode(hostile[0]))
    assert b"caf\xe9.wav" in names
    assert b"line\nbreak.wav" in names
    assert max(map(len, names)) == 200
    assert {os.path.basename(name) for name in ODD_NAMES if "/" in name} == {"same.wav"}


def test_no_two_recordings_sound_the_same(hostile):
    folder, expected = hostile
    readable = [path for name in expected if (path := folder / name).is_file() and name != "locked.wav"]
    contents = [path.read_bytes() for path in readable]
    assert len(set(contents)) == len(contents)


def test_links_and_permissions(hostile):
    folder, _ = hostile
    with pytest.raises(OSError, match="symbolic links"):
        (folder / "loop-a.wav").open("rb")
    assert (folder / "nested" / "parent").samefile(folder)
    assert (folder / "locked.wav").stat().st_mode & 0o777 == 0


def test_long_recording_has_its_length_its_pauses_and_its_noise(tmp_path):
    write_long(tmp_path / "long.wav", hours=0.05, seed=1)
    audio, sample_rate = soundfile.read(tmp_path / "long.wav")
    assert (len(audio), sample_rate) == (180 * 16000, 16000)
    blocks = audio.reshape(-1, 1600)  # 100 ms
    level_db = 20 * np.log10(np.sqrt(np.mean(blocks**2, axis=1)))
    floor_db = 20 * np.log10(0.07) - 30
    assert np.percentile(level_db, 2) == pytest.approx(floor_db, abs=0.5)  # noise alone: 1600 samples give 0.15 dB
    assert 0.4 < np.mean(level_db > floor_db + 10) < 0.95  # speech, most of the time but not always


def test_long_recording_is_quick_and_exact(tmp_path):
    start = time.perf_counter()
    write_long(tmp_path / "long.wav", hours=0.5)
    elapsed_s = time.perf_counter() - start
    with wave.open(str(tmp_path / "long.wav")) as file:
        assert file.getnframes() == 1800 * 16000
    assert elapsed_s < 10  # 3 h take about 2 s of computing; the rest is the disk's
