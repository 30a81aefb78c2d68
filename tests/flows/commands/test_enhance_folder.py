"""`clean-corpus enhance` and what it shares: names of files written, and workers that die in a call."""

import os
import signal

import pytest
from rich.console import Console

from clean_corpus.flows.commands import enhance_folder, parallel, score_folder
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Recording

QUIET = Console(quiet=True)


def recording(path: str) -> Recording:
    return Recording(path, path, 1, "0" * 64)


def test_every_recording_gets_a_name_of_its_own():
    paths = ["a/x.mp3", "a/x.flac", "b/x.wav", "y.tar.ogg"]
    assert enhance_folder.output_names([recording(path) for path in paths]) == {
        "a/x.mp3": "a/x.wav", "a/x.flac": "a/x.flac.wav", "b/x.wav": "b/x.wav", "y.tar.ogg": "y.tar.wav",
    }  # fmt: skip


class Failing:
    """An engine whose worker dies in the calls for some items."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, function, item, *args):
        if item == "bad" or (isinstance(item, list) and item[0].path == "bad.wav"):
            raise WorkerDied("worker process died")
        return function(item, *args)


def test_a_worker_that_dies_is_the_result_of_its_item_alone(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    results = dict(parallel.call_in_workers("x", ["a", "bad", "b"], "items", 2, QUIET, str.__add__, "!"))
    assert (results["a"], results["b"]) == ("a!", "b!") and isinstance(results["bad"], WorkerDied)


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_reported():
    ((item, result),) = parallel.call_in_workers("x", ["a"], "items", 1, QUIET, die)
    assert item == "a" and isinstance(result, WorkerDied)


def test_other_errors_end_the_command(monkeypatch):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    with pytest.raises(ZeroDivisionError):
        list(parallel.call_in_workers("x", [1], "items", 1, QUIET, divmod, 0))


def test_recordings_of_a_worker_that_died_fail_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    monkeypatch.setattr(enhance_folder, "RECORDINGS_PER_CALL", 1)
    monkeypatch.setattr(enhance_folder, "find_all", lambda *_, **__: [recording("bad.wav"), recording("good.wav")])
    monkeypatch.setattr(enhance_folder, "_enhance_group", lambda *_: {})
    count, failed = enhance_folder.enhance_folder(tmp_path, tmp_path / "out", "default-causal", 1, QUIET)
    assert (count, failed) == (1, {"bad.wav": "worker process died"})


def test_unknown_weights_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="nothing"):
        enhance_folder.enhance_folder(tmp_path / "absent", tmp_path / "out", "nothing", 1, QUIET)


def test_means_leave_out_what_was_not_measured():
    scores = {"a": {"snr_db": 10.0, "stoi": None}, "b": {"snr_db": 20.0, "stoi": 0.5}}
    assert score_folder.means(scores) == {"snr_db": (15.0, 2), "stoi": (0.5, 1)}
