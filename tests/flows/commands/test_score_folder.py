"""`clean-corpus score`: scores and failures by name, and means over what was measured."""

from pathlib import Path

import pytest
from rich.console import Console

from clean_corpus.flows import worker_functions
from clean_corpus.flows.commands import parallel, score_folder
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.inline import Inline

QUIET = Console(quiet=True)


@pytest.fixture
def recordings(tmp_path, monkeypatch) -> Path:
    """Three files, and an engine that works in this process."""
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("b.wav", "deep/c.wav", "a.wav"):
        (tmp_path / "in" / name).write_bytes(b"no audio")
    return tmp_path / "in"


def test_scores_and_failures_are_sorted_by_name(recordings, monkeypatch):
    answers = {"a.wav": {"snr_db": 3.0}, "b.wav": "b.wav: no audio", "deep/c.wav": {"snr_db": None}}
    monkeypatch.setattr(score_folder, "_score_file", lambda recording, *_: answers[recording.path])
    scores, failed = score_folder.score_folder(recordings, None, 2, QUIET)
    assert list(scores.items()) == [("a.wav", {"snr_db": 3.0}), ("deep/c.wav", {"snr_db": None})]
    assert failed == {"b.wav": "b.wav: no audio"}


def test_a_recording_whose_worker_dies_fails_alone(recordings, monkeypatch):
    class Dying(Inline):
        def run(self, function, recording, *args):
            if recording.path == "b.wav":
                raise WorkerDied("worker process died in _score_file")
            return {}

    monkeypatch.setattr(parallel, "LocalEngine", Dying)
    scores, failed = score_folder.score_folder(recordings, None, 1, QUIET)
    assert (list(scores), failed) == (["a.wav", "deep/c.wav"], {"b.wav": "worker process died in _score_file"})


def test_what_cannot_be_read_fails_with_the_reason(recordings, monkeypatch):
    monkeypatch.setattr(worker_functions, "scorer", lambda *_: None)
    scores, failed = score_folder.score_folder(recordings, None, 1, QUIET)
    assert scores == {} and list(failed) == ["a.wav", "b.wav", "deep/c.wav"] and all(failed.values())


def test_an_absent_folder_of_clean_versions_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match=f"^--clean {tmp_path}/absent: no such folder"):
        score_folder.score_folder(tmp_path / "gone", tmp_path / "absent", 1, QUIET)


def test_means_leave_out_what_was_not_measured():
    scores = {"a": {"snr_db": 10.0, "stoi": None}, "b": {"snr_db": 20.0, "stoi": 0.5}}
    assert score_folder.means(scores) == {"snr_db": (15.0, 2), "stoi": (0.5, 1)}
    assert score_folder.means({"a": {"snr_db": None}}) == score_folder.means({}) == {}
