"""`clean-corpus enhance`: names of files written, and recordings whose worker dies."""

import pytest
from rich.console import Console

from clean_corpus.flows.commands import enhance_folder, parallel
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Recording
from tests.support.inline import Inline

QUIET = Console(quiet=True)


def recording(path: str) -> Recording:
    return Recording(path, path, 1, "0" * 64)


def test_every_recording_gets_a_name_of_its_own():
    paths = ["a/x.mp3", "a/x.flac", "b/x.wav", "y.tar.ogg"]
    assert enhance_folder.output_names([recording(path) for path in paths]) == {
        "a/x.mp3": "a/x.wav", "a/x.flac": "a/x.flac.wav", "b/x.wav": "b/x.wav", "y.tar.ogg": "y.tar.wav",
    }  # fmt: skip


class Failing(Inline):
    """An engine whose worker dies in the calls for one recording."""

    def run(self, function, group, *args):
        if group[0].path == "bad.wav":
            raise WorkerDied("worker process died")
        return super().run(function, group, *args)


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
