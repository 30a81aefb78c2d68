"""Pairs found by their names, and the conditions that names and lists of what training heard tell."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers.pairs import Condition, Pair, conditions, find_pairs, read_names, with_training
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from tests.support.pairs import RATE, write_pairs


def test_a_name_tells_class_and_snr(tmp_path):
    names = {"spk__a__1__dog_bark__00dB": 0.0, "x__rain__-5dB": -5.0, "p232_001": 5.0, "p257_002__bus__2.5dB": 2.5}
    found = find_pairs(write_pairs(tmp_path, names, seconds=0.5))
    assert {pair.name: (pair.noise, pair.snr_db) for pair in found} == {
        "p232_001": (None, None),
        "p257_002__bus__2.5dB": ("bus", 2.5),
        "spk__a__1__dog_bark__00dB": ("dog_bark", 0),
        "x__rain__-5dB": ("rain", -5),
    }
    assert [value for by, value in conditions(found) if by == "snr_db"] == ["-5", "0", "2.5"]
    assert all(pair.noisy.parent.name == "noisy" and pair.clean.parent.name == "clean" for pair in found)


def test_a_missing_or_other_clean_version_is_an_error_that_names_both_files_and_lengths(tmp_path):
    write_pairs(tmp_path, {"a": 5.0}, seconds=0.5)
    soundfile.write(tmp_path / "clean" / "a.wav", np.zeros(7999), RATE)
    with pytest.raises(DataError, match=r"noisy/a.wav has 8000 samples at 16000 Hz.*clean/a.wav has 7999 samples"):
        find_pairs(tmp_path)
    soundfile.write(tmp_path / "clean" / "a.wav", np.zeros(8000), 8000)
    with pytest.raises(DataError, match=r"16000 Hz.* at 8000 Hz"):
        find_pairs(tmp_path)
    for missing in ("clean", "noisy"):
        write_pairs(tmp_path, {"a": 5.0}, seconds=0.5)
        (tmp_path / missing / "a.wav").unlink()
        with pytest.raises(DataError, match=rf"{missing}/a.wav has no file"):
            find_pairs(tmp_path)


def test_what_is_no_audio_is_named(tmp_path):
    write_pairs(tmp_path, {"a": 5.0}, seconds=0.5)
    (tmp_path / "clean" / "a.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"clean/a.wav: empty file"):
        find_pairs(tmp_path)


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no noisy/\*.wav"):
        find_pairs(tmp_path)


NAMES = ("260-1__rain__00dB", "260-2__wind__05dB", "908_1__rain__05dB", "908_2__wind__00dB")
PAIRS = [Pair(name, Path(), Path(), name.split("__")[1], int(name[-4:-2])) for name in NAMES]


def test_speakers_and_noises_that_training_heard_are_conditions_as_the_papers_tabulate_them():
    pairs = with_training(PAIRS, speakers={"260"}, noises={"wind"})
    assert [(pair.speaker, pair.speakers, pair.noises) for pair in pairs] == [
        ("260", "trained", "untrained"), ("260", "trained", "trained"),
        ("908", "untrained", "untrained"), ("908", "untrained", "trained"),
    ]  # fmt: skip
    found = {condition: np.flatnonzero(chosen).tolist() for condition, chosen in conditions(pairs).items()}
    assert found[Condition("speakers", "trained")] == [0, 1]
    assert found[Condition("speakers/noise", "untrained/rain")] == [2]
    assert found[Condition("noises", "trained")] == [1, 3]
    assert found[Condition("noises/snr_db", "untrained/5")] == [2]
    assert {condition.by for condition in conditions(PAIRS)} == {"all", "snr_db", "noise"}


def test_a_list_of_names_has_one_a_line(tmp_path):
    path = tmp_path / "heard.txt"
    path.write_text("260  # a comment\n\n# another\n908\n")
    assert read_names(path) == {"260", "908"}
    path.write_text("# nothing\n")
    for wrong in (path, tmp_path / "absent.txt"):
        with pytest.raises(ConfigError, match=f"{wrong}.*one name a line"):
            read_names(wrong)


def test_noises_are_refused_where_names_do_not_tell_them():
    with pytest.raises(ConfigError, match=r"does not tell its class; rename the pair to NAME__CLASS__SNRdB\.wav"):
        with_training([Pair("p232_001", Path("noisy/p232_001.wav"), Path(), None, None)], noises={"rain"})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            {"speakers": {"p260", "p1919"}},
            r"trained speakers: p1919, p260 are given, and the pairs have \d+.*none of them",
        ),
        (
            {"noises": {"Rain"}},
            r"trained noises: Rain are given, and the pairs have .*rain.*leave the trained noises out",
        ),
    ],
)
def test_names_that_no_pair_has_are_refused(names, words):
    """They would divide nothing: all pairs would be called untrained."""
    with pytest.raises(ConfigError, match=words):
        with_training(PAIRS, **names)
