"""How many workers a machine gets, and which GPUs it has, known beforehand from its environment."""

import os
from types import SimpleNamespace

import pytest

from clean_corpus.flows.engines import machine
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
     ("0,1", {"gpus_per_worker": 0}, CORES), ("0,1", {}, 2 * max(1, min(CORES // 2, 16))), ("", {}, CORES)],
)  # fmt: skip
def test_workers_follow_the_gpus_or_the_cores(monkeypatch, gpus, settings, workers):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.usable_cores", lambda: CORES)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.memory_limit", lambda: 1e12)
    assert workers_here(EngineConfig(**settings))[0] == workers


@pytest.mark.parametrize(
    ("cores", "host_gb", "gpu_mb", "workers"),
    [(16, 1000, "81920\n143771\n", 16), (6, 1000, "81920\n81920\n", 6), (64, 21, "81920\n81920\n", 8),
     (64, 1000, "143771\n8192\n", 6), (64, 1000, "[N/A]\n", 32), (64, 1000, None, 32), (1, 3, "2048\n", 2)],
)  # fmt: skip
def test_workers_share_a_gpu_as_far_as_cores_and_both_memories_go(monkeypatch, cores, host_gb, gpu_mb, workers):
    """Two GPUs, the smaller of which counts; a tool that is not there or says nothing limits nothing."""

    def run(command, **_):
        if gpu_mb is None:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=gpu_mb)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(machine.subprocess, "run", run)
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(machine, "memory_limit", lambda: 1e9 * host_gb)
    machine.gpu_memory.cache_clear()
    found, share = workers_here(EngineConfig())
    machine.gpu_memory.cache_clear()
    assert found == workers and share == round(share, 4) and machine.times_in(1, share) * 2 == workers


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
