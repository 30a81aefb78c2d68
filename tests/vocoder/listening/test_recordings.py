"""Systems and utterances of a listening test: folders, comparisons, and what cannot be used."""

import json
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.listening.page import write_test
from clean_corpus.vocoder.listening.recordings import common_utterances, draw_utterances, find_systems
from tests.support.listening import tone_systems


def test_a_comparison_is_a_source_with_its_recordings_as_a_system_and_equal_sets_heard_once(tmp_path):
    for name in ("raw", "enhanced", "gated", "clean"):
        tone_systems(tmp_path / "speech" / name, systems={"audio": 300.0, "common/seed0": 450.0})
    hours = dict.fromkeys(("raw", "enhanced", "gated", "clean"), 1)
    result = {"hours": hours, "twins": {"gated": "enhanced"}, "frames_from": "clean"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    found = find_systems(tmp_path)
    assert list(found) == ["raw", "enhanced", "clean", "natural"]
    assert found["raw"]["sentence-0"] == tmp_path / "speech/raw/common/seed0/sentence-0.wav"
    assert found["natural"]["sentence-0"] == tmp_path / "speech/clean/audio/sentence-0.wav"


def test_unusable_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        find_systems(tmp_path / "nowhere")
    source = tone_systems(tmp_path / "in")
    with pytest.raises(ConfigError, match=r"--reference xylvoc: no such system.*did you mean 'xylovoc'"):
        write_test(source, tmp_path / "test", reference="xylvoc")
    (source / "zebranet/sentence-0.flac").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"sentence-0\.wav and .*sentence-0\.flac are one utterance"):
        find_systems(source)
    apart = {"a": ["u1", "u2"], "b": ["u2", "u3"], "c": ["u3"]}
    with pytest.raises(ConfigError, match="no utterance is in all 3 systems: 'a' and 'c' have none in common"):
        common_utterances({system: dict.fromkeys(names, Path()) for system, names in apart.items()})
    (tmp_path / "one/system").mkdir(parents=True)
    with pytest.raises(ConfigError, match="1 folders, at least 2"):
        find_systems(tmp_path / "one")
    (tmp_path / "one/empty").mkdir()
    with pytest.raises(ConfigError, match="'empty': no recordings"):
        find_systems(tmp_path / "one")


def test_a_set_may_have_the_name_that_recordings_get(tmp_path):
    for name in ("natural", "raw"):
        tone_systems(tmp_path / "speech" / name, systems={"audio": 300.0, "common/seed0": 450.0})
    result = {"hours": {"natural": 1, "raw": 1}, "twins": {}, "frames_from": "natural"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    found = {system: clips["sentence-0"].parent.name for system, clips in find_systems(tmp_path).items()}
    assert found == {"natural": "seed0", "raw": "seed0", "natural-recordings": "audio"}


def test_texts_beside_recordings_are_no_recordings(tmp_path):
    source = tone_systems(tmp_path / "in")
    for name in ("sentence-0.txt", "sentence-0.TextGrid", "sentence-1.normalized.txt"):
        (source / "zebranet" / name).write_text("words")
    assert list(find_systems(source)["zebranet"]) == ["sentence-0", "sentence-1", "sentence-2"]


def test_utterances_are_drawn_by_seed():
    names = [f"u{i}" for i in range(20)]
    assert draw_utterances(names, None, 0) == names
    first, again, other = (draw_utterances(names, 5, seed) for seed in (1, 1, 2))
    assert first == again != other and first == sorted(first) and len(set(first)) == 5
