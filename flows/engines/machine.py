"""Cores and GPUs of this machine, and the number of workers that they suffice for."""

import glob
import math
import os
import subprocess
from functools import cache

from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.memory import memory_limit

FLOW_BYTES, WORKER_BYTES = 0.7e9, 0.5e9  # measured: 1.6 to 1.75 GB in all with two workers

GPU_WORKERS = 16  # on a GPU, at most: what a core decodes, measures and encodes takes it a fraction of the time
GPU_WORKER_BYTES = 2.5e9  # of one with CUDA, of the machine's memory and of its GPU's; an estimate, no GPU was at hand


def workers_here(config: EngineConfig) -> tuple[int, float]:
    """Return the number of workers for this machine, and each one's share of a GPU.

    Raises: ConfigError if it has no GPU and one is asked for.
    """
    gpus = visible_gpus()
    share = config.gpus_per_worker
    if share is None:
        share = share_of_gpu(usable_cores(), len(gpus), memory_limit() - FLOW_BYTES, gpu_memory()) if gpus else 0
    if share and not gpus:
        raise ConfigError(f"engine.gpus_per_worker is {share:g}, this machine has no GPU; set engine.gpus_per_worker=0")
    return config.workers or (len(gpus) * times_in(1, share) if share else workers_that_fit()), share


def share_of_gpu(cores: float, gpus: float, memory: float = math.inf, of_each_gpu: float = math.inf) -> float:
    """Return a worker's share of a GPU: as small as leaves each a core, and enough of both kinds of memory, bytes.

    It is a whole number of ten thousandths, as Ray wants it.

    >>> share_of_gpu(16, 1), share_of_gpu(16, 4), share_of_gpu(2, 2), share_of_gpu(16, 1, of_each_gpu=8e9)
    (0.0625, 0.25, 1.0, 0.3333)
    """
    room = min(cores / gpus, memory / gpus / GPU_WORKER_BYTES, of_each_gpu / GPU_WORKER_BYTES, GPU_WORKERS)
    return math.floor(10_000 / max(1, int(room))) / 10_000


@cache
def gpu_memory() -> float:
    """Return the memory of this machine's smallest GPU, bytes; infinite where the driver's tool does not tell."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return min(float(line) for line in answer.splitlines()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return math.inf


def workers_that_fit() -> int:
    """Return the number of workers without a GPU: one for each core, fewer where memory would not suffice for them."""
    return max(1, min(usable_cores(), int((memory_limit() - FLOW_BYTES) / WORKER_BYTES)))


def times_in(room: float, each: float) -> int:
    """Return how often `each` goes into `room`.

    >>> times_in(1, 0.1), times_in(1, 0.3), times_in(2, 3)
    (10, 3, 0)
    """
    return int(room / each + 1e-6)


def visible_gpus() -> list[str]:
    """Return the names that CUDA_VISIBLE_DEVICES has for this machine's GPUs, without loading a GPU library."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]
    names = [name.strip() for name in given.split(",")]  # CUDA stops at the first that is none, and so do we
    return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
