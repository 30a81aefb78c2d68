"""The timing of a GPU, with workers that pretend: what is timed, what is said where there is none."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from clean_corpus.flows import shard_work, worker_functions
from tests.support.paths import REPOSITORY


@pytest.fixture
def gpu_speed(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import gpu_speed

    return gpu_speed


class Pretending:
    """An engine whose workers find one shard of 10 s in each group."""

    workers = slots = 2

    def __init__(self):
        self.calls = []

    def run(self, function, config, *_):
        self.calls.append((function, config.output.name))
        raw = SimpleNamespace(clips=[SimpleNamespace(duration_s=10.0)], shard=SimpleNamespace(key="g"))
        return SimpleNamespace(result=SimpleNamespace(shards=[raw]))


def test_without_a_gpu_it_says_so_and_measures_nothing(gpu_speed, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["gpu_speed.py"])
    gpu_speed.main()
    assert "no GPU here, nothing measured" in capsys.readouterr().out


def test_scoring_is_timed_without_reading_and_the_rest_from_file_to_tar(gpu_speed, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_speed, "DATA", tmp_path)
    monkeypatch.setattr(gpu_speed, "PER_GROUP", 2)
    (tmp_path / "crowd").mkdir()
    rng = np.random.default_rng(0)
    for name, length in (("a", 32000), ("b", 8000)):  # half a second is left out
        soundfile.write(tmp_path / "crowd" / f"{name}.wav", 0.1 * rng.standard_normal(length), 16000)
    gpu_speed.write_recordings(tmp_path / "in", 9.0)
    written = sorted((tmp_path / "in").iterdir())
    assert len(written) == 5 and len({path.read_bytes() for path in written}) == 5, "none is found again by its content"
    engine = Pretending()
    scoring, whole = gpu_speed.measured(engine, tmp_path, lambda since: "not known")
    assert scoring[:3] == ["scoring", "30", 2] and whole[:3] == ["decode to tar", "30", 2]
    timed = [(function, output) for function, output in engine.calls if not output.startswith("warm")]
    assert timed.count((worker_functions.score_raw, "scored")) == timed.count((shard_work.finish, "tars")) == 3
