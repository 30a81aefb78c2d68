"""Recordings of a training: references, rooms, tracks of noise."""

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers.training.recordings import (
    Recording,
    load_recordings,
    load_rirs,
    noise_tracks,
    unit_scale,
)
from clean_corpus.pipeline.core.errors import DataError


def test_references_are_found_by_folder_and_name(tmp_path):
    for folder, values in (("s/a", (0.5, 0.25)), ("s/b", (0.125, 0.5)), ("r/b", (0.0625, 0.75)), ("r/a", (0.375, 0.5))):
        (tmp_path / folder).mkdir(parents=True)
        for name, value in zip("xy", values, strict=True):
            soundfile.write(tmp_path / folder / f"{name}.wav", np.full(100, value), 16000, subtype="FLOAT")
    found = load_recordings([tmp_path / "s"], 16000, tmp_path / "r")
    rows = {(k, r.name): tuple((r.samples[:, 0] / 32768).round(4)) for k, group in found.items() for r in group}
    assert rows == {
        ("a", "x"): (0.5, 0.375),
        ("a", "y"): (0.25, 0.5),
        ("b", "x"): (0.125, 0.0625),
        ("b", "y"): (0.5, 0.75),
    }
    soundfile.write(tmp_path / "r/a/y.wav", np.full(99, 0.5), 16000)
    short = load_recordings([tmp_path / "s"], 16000, tmp_path / "r")["a"][1].samples
    assert short.shape == (2, 100) and short[1, 98] > 0 == short[1, 99]
    soundfile.write(tmp_path / "r/a/x.wav", np.zeros(60), 16000)
    with pytest.raises(
        DataError, match=r"s/a/x.wav has 100 samples at 16000 Hz, its reference .*r/a/x.wav has 60; make"
    ):
        load_recordings([tmp_path / "s"], 16000, tmp_path / "r")
    (tmp_path / "r/a/x.wav").unlink()
    with pytest.raises(DataError, match=r"s/a/x.wav: no a/x below mix.references .*r; add it"):
        load_recordings([tmp_path / "s"], 16000, tmp_path / "r")
    soundfile.write(tmp_path / "r/b/y.flac", np.zeros(100), 16000)
    with pytest.raises(DataError, match=r"r/b/y.flac and .*r/b/y.wav are both b/y; keep one"):
        load_recordings([tmp_path / "s"], 16000, tmp_path / "r")


@pytest.mark.parametrize("rate", [16000, 48000])
def test_samples_are_those_of_the_file(tmp_path, rate):
    """Down to the last bit: the pauses of a quiet recording hold little more."""
    values = np.arange(-5, 6).repeat(4800).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, rate, subtype="PCM_16")
    (found,) = load_recordings([tmp_path], 16000)[tmp_path.name]
    middles = (np.arange(11) * 4800 + 2400) * 16000 // rate
    assert found.samples[middles].tolist() == list(range(-5, 6))
    assert np.array_equal(unit_scale(found.samples) * 2**15, found.samples)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("samples", [[], [0.1, np.nan, 0.1], [np.inf] * 100])
def test_damaged_recordings_are_named(tmp_path, rate, samples):
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), rate, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a.wav: \d+ samples, or one that is not finite; remove the file"):
        load_recordings([tmp_path], 16000)


def test_noise_tracks_have_unit_level_and_skip_silence():
    noise = Recording("a", (np.random.default_rng(1).standard_normal(20000) * 3000).astype(np.int16))
    silence = Recording("b", np.zeros(100, np.int16))
    (track,) = noise_tracks({"a": [noise, silence], "b": [silence]})
    assert np.sqrt(np.mean(track**2)) == pytest.approx(1, abs=1e-4) and len(track) == 20000


def test_a_folder_without_recordings_is_named(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        load_recordings([tmp_path], 16000)


def test_recorded_rooms_begin_at_the_direct_sound_with_peak_1(tmp_path):
    (tmp_path / "hall").mkdir()
    response = np.zeros((400, 2))
    response[100, 0], response[101, 0], response[200, 0] = -0.4, 0.2, 0.1
    response[300, 1], response[310, 1] = 0.05, 0.01
    soundfile.write(tmp_path / "hall" / "a.wav", response, 16000, subtype="FLOAT")
    left, right = load_rirs(tmp_path, 16000)["hall"]
    assert (left.name, right.name) == ("a-0", "a-1") and left.session == right.session == "a"
    np.testing.assert_allclose(left.samples[[0, 1, 100]], [-1, 0.5, 0.25], rtol=1e-5)
    assert len(left.samples) == 300 and len(right.samples) == 100 and right.samples[10] == pytest.approx(0.2)
    (doubled, _) = load_rirs(tmp_path, 32000)["hall"]
    assert len(doubled.samples) == pytest.approx(600, abs=2) and np.abs(doubled.samples).max() == 1


def test_rooms_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(DataError, match=f"below {tmp_path}; check --rirs"):
        load_rirs(tmp_path, 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(DataError, match=r"silent\.wav, channel 0: its peak is 0"):
        load_rirs(tmp_path, 16000)
    (tmp_path / "silent.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"silent\.wav: "):
        load_rirs(tmp_path, 16000)


def test_each_of_several_folders_must_hold_recordings(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    soundfile.write(tmp_path / "full" / "a.wav", np.zeros(100), 16000)
    with pytest.raises(DataError, match=r"below .*empty"):
        load_recordings([tmp_path / "full", tmp_path / "empty"], 16000)
