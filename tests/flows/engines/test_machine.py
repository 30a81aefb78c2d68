"""How many workers a machine gets, and which GPUs it has, known beforehand from its environment."""

import os

import pytest

from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.engines.machine import times_in, visible_gpus, workers_here, workers_that_fit
from clean_corpus.pipeline.core.errors import ConfigError

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("given", "gpus"),
    [("", []), ("-1", []), ("0", ["0"]), ("2, GPU-5ef4,-1,0", ["2", "GPU-5ef4"]), ("1,,2", ["1"])],
)
def test_gpus_are_those_that_cuda_would_see(monkeypatch, given, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == gpus


@pytest.mark.parametrize(
    ("gpus", "settings", "workers"),
    [("0,1", {"gpus_per_worker": 0.5}, 4), ("0,1", {"gpus_per_worker": 0.4}, 4), ("0,1", {"workers": 3}, 3),
     ("0,1", {"gpus_per_worker": 0}, CORES), ("", {}, CORES)],
)  # fmt: skip
def test_workers_follow_the_gpus_or_the_cores(monkeypatch, gpus, settings, workers):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.usable_cores", lambda: CORES)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.memory_limit", lambda: 1e12)
    assert workers_here(EngineConfig(**settings))[0] == workers


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match=r"gpus_per_worker is 0.5, this machine has no GPU; set .*=0"):
        workers_here(EngineConfig(gpus_per_worker=0.5))


def test_how_often_a_share_times_in():
    assert [times_in(1, 0.1), times_in(1, 0.3), times_in(3, 1), times_in(0.9, 1)] == [10, 3, 3, 0]


@pytest.mark.parametrize(("limit", "workers"), [(0.5e9, 1), (1.3e9, 1), (1.8e9, 2), (64e9, 8)])
def test_there_are_no_more_workers_than_memory_suffices_for(monkeypatch, limit, workers):
    monkeypatch.setattr("clean_corpus.flows.engines.machine.usable_cores", lambda: 8)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.memory_limit", lambda: limit)
    assert workers_that_fit() == workers
