"""The folder of a blind listening test: nothing in it tells systems apart, and its key lies outside."""

import wave

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.listening.key import load_key
from clean_corpus.vocoder.listening.page import write_test
from tests.support.listening import RATE, TONE_SYSTEMS, tone_systems


def everything(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["acr", "ab", "mushra"])
def test_nothing_in_the_folder_tells_systems_apart(tmp_path, mode):
    written = write_test(tone_systems(tmp_path / "in"), tmp_path / "test", mode=mode, reference="xylovoc")
    files = everything(tmp_path / "test")
    for word in (*TONE_SYSTEMS, "sentence", str(tmp_path)):
        assert not [name for name, data in files.items() if word in name or word.encode() in data]
    assert len({path.stat().st_mtime for path in (tmp_path / "test").rglob("*")}) == 1
    key = load_key(written.key)
    assert sorted(key.clips.values()) == sorted((s, f"sentence-{i}") for s in TONE_SYSTEMS for i in range(3))
    rates = set()
    for path in (tmp_path / "test/audio").iterdir():
        with wave.open(str(path)) as file:
            rates.add(file.getframerate())
    assert rates == {2 * RATE}  # the highest that was found, for all
    n_trials = {"acr": 9, "ab": 9, "mushra": 3}[mode]
    assert (written.trials, written.utterances) == (n_trials, 3)
    # 9 clips, 1 example, 2 traps, 6 checks, and the open reference, which must not be the hidden one's file
    assert len(files) == 1 + 9 + 1 + 2 + 6 + (3 if mode == "mushra" else 0)


def test_same_seed_same_bytes_and_another_seed_other_names(tmp_path):
    source = tone_systems(tmp_path / "in")
    first, again, other = (
        write_test(source, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert first.key.read_text() == again.key.read_text()
    names = [{p.name for p in (written.page.parent / "audio").iterdir()} for written in (first, other)]
    assert not names[0] & names[1]
    assert first.study != other.study


def test_per_system_draws_the_same_utterances_of_every_system(tmp_path):
    source = tone_systems(tmp_path / "in", utterances=8)
    key = load_key(write_test(source, tmp_path / "a", per_system=3, seed=4).key)
    assert len(key.utterances) == 3 and len(key.clips) == 9
    other = load_key(write_test(source, tmp_path / "b", per_system=3, seed=5).key)
    assert key.utterances != other.utterances
    with pytest.raises(ConfigError, match="--per-system 9: only 8"):
        write_test(source, tmp_path / "c", per_system=9)


def test_utterances_that_not_all_systems_have_are_left_out_and_listed(tmp_path):
    source = tone_systems(tmp_path / "in")
    (source / "yakcoder/sentence-2.wav").unlink()
    written = write_test(source, tmp_path / "test")
    assert (written.utterances, written.left_out) == (2, ["sentence-2"])


def test_key_is_kept_out_of_the_folder_and_no_other_key_is_lost(tmp_path):
    source = tone_systems(tmp_path / "in")
    with pytest.raises(ConfigError, match="which listeners get"):
        write_test(source, tmp_path / "test", key=tmp_path / "test/key.json")
    written = write_test(source, tmp_path / "test", seed=1)
    assert written.key == tmp_path / "test.key.json"
    write_test(source, tmp_path / "test", seed=1)
    with pytest.raises(ConfigError, match=f"belongs to study {written.study}, this one is .*; choose another"):
        write_test(source, tmp_path / "test", seed=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is no listening test"):
        write_test(source, tmp_path / "other")
    for out in (tmp_path / "in/test", tmp_path, tmp_path / "in"):
        with pytest.raises(ConfigError, match="lie in each other"):
            write_test(source, out)


def test_names_that_are_not_utf8_can_be_used(tmp_path):
    source = tone_systems(tmp_path / "in", utterances=1)
    (source / "zebranet").rename(source / "caf\udce9")
    key = load_key(write_test(source, tmp_path / "test").key)
    assert "caf\\xe9" in key.systems
