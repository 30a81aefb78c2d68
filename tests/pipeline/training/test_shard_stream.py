"""Streams of shards: found, held out, read in order, shuffled by a key alone, and read in step."""

import io
import tarfile

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.training.shard_stream import Blocks, Shuffled, clips, find_shards, hold_out_shards


def wav(value: float, n_samples: int = 160, channels: int = 1) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, np.full((n_samples, channels), value), 16000, format="WAV", subtype="PCM_16")
    return data.getvalue()


def write_tar(path, members: dict[str, bytes]):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path):
    """Three shards of two clips each."""
    return [
        write_tar(tmp_path / f"{i}.tar", {f"clip-{i}{j}.wav": wav((2 * i + j) / 8) for j in range(2)}) for i in range(3)
    ]


def test_members_come_in_order_with_what_is_said_of_them(tmp_path):
    members = {"a.wav": wav(0.25, channels=2), "a.json": b'{"speaker": "x"}', "b.txt": b"no audio", "c.wav": wav(0.5)}
    first, second = clips(write_tar(tmp_path / "a.tar", members))
    assert (first.key, first.about, second.key, second.about) == ("a", b'{"speaker": "x"}', "c", b"")
    assert first.length() == (160, 16000)
    np.testing.assert_allclose(first.decode(16000), 0.25, atol=1 / 32768)  # the mean of both channels
    assert len(second.decode(8000)) == 80


def test_damage_is_named(tmp_path, shards):
    broken = write_tar(tmp_path / "b.tar", {"a.wav": b"no audio"})
    with pytest.raises(DataError, match=r"b\.tar: a\.wav: not audio"):
        next(clips(broken)).decode(16000)
    shards[0].write_bytes(shards[0].read_bytes()[:1024])
    with pytest.raises(DataError, match="does not end as a tar does"):
        next(clips(shards[0]))
    with pytest.raises(DataError, match="points outside"):
        next(clips(write_tar(tmp_path / "c.tar", {"../a.wav": wav(0.5)})))


def test_shards_are_found_by_folder_glob_and_name(tmp_path, shards):
    assert find_shards([tmp_path], "--speech") == shards
    assert find_shards([str(tmp_path / "[01].tar")], "--speech") == shards[:2]
    assert find_shards([shards[2], shards[0]], "--speech") == [shards[2], shards[0]]
    (tmp_path / "recordings").mkdir()
    assert find_shards([tmp_path / "recordings"], "--speech") is None
    with pytest.raises(ConfigError, match="give shards or recordings"):
        find_shards([tmp_path, tmp_path / "recordings"], "--speech")
    with pytest.raises(ConfigError, match="no such folder"):
        find_shards([tmp_path / "gone"], "--speech")


def test_whole_shards_are_held_out_by_the_seed(shards):
    train, validation = hold_out_shards(shards, 0.3, seed=0)
    assert len(validation) == 1 and sorted(train + validation) == shards
    assert hold_out_shards(shards, 0.3, seed=0) == (train, validation)
    with pytest.raises(DataError, match="only shard"):
        hold_out_shards(shards[:1], 0.3, seed=0)


def test_a_stream_depends_on_its_key_alone_and_brings_every_clip_once_a_pass(shards):
    streams = [Shuffled(shards, 3, key) for key in ((0, 1), (0, 1), (0, 2))]
    taken = [[stream.take().key for _ in range(60)] for stream in streams]
    assert taken[0] == taken[1] != taken[2]
    assert set(taken[0]) == {f"clip-{i}{j}" for i in range(3) for j in range(2)}
    counts = [taken[0].count(key) for key in set(taken[0])]
    assert max(counts) - min(counts) <= 3  # what the buffer of three may hold back


def test_a_stream_of_nothing_wanted_is_refused(shards):
    assert {clip.key for clip in Shuffled(shards, 4, (0,), lambda clip: clip.key.endswith("0")).held} <= {
        "clip-00", "clip-10", "clip-20",
    }  # fmt: skip
    with pytest.raises(DataError, match="in 3 shards"):
        Shuffled(shards, 2, (0,), lambda clip: False)


def test_an_index_gets_the_same_clips_whatever_was_read_before(shards):
    def blocks():
        return Blocks(4, lambda block: [Shuffled(shards, 2, (0, block)), Shuffled(shards, 2, (1, block))])

    straight = blocks()
    wanted = [[clip.key for clip in straight.at(index)] for index in range(12)]
    resumed = blocks()
    for index in (6, 7, 3, 11, 0):  # ahead, next, back, far, to the beginning
        assert [clip.key for clip in resumed.at(index)] == wanted[index]


def test_members_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("clean_corpus.pipeline.training.shard_stream.MAX_BYTES", 1000)
    for members in ({"a.wav": wav(0.0, 600)}, {"a.wav": wav(0.0, 200), "a.flac": wav(0.0, 200), "a.json": b" " * 500}):
        write_tar(tmp_path / "x.tar", members)
        with pytest.raises(DataError, match="bytes, 1000 are allowed"):
            list(clips(tmp_path / "x.tar"))
    write_tar(tmp_path / "x.tar", {name: wav(0.0, 200) for name in ("a.wav", "b.wav", "c.wav")})
    assert len(list(clips(tmp_path / "x.tar"))) == 3
