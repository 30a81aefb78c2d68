"""Cores and GPUs of this machine, and the number of workers that they suffice for."""

import glob
import os

from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.memory import memory_limit

FLOW_BYTES, WORKER_BYTES = 0.7e9, 0.5e9  # measured: 1.6 to 1.75 GB in all with two workers


def workers_here(config: EngineConfig) -> tuple[int, float]:
    """Return the number of workers for this machine, and each one's share of a GPU.

    Raises: ConfigError if it has no GPU and one is asked for.
    """
    gpus = visible_gpus()
    share = (1 if gpus else 0) if config.gpus_per_worker is None else config.gpus_per_worker
    if share and not gpus:
        raise ConfigError(f"engine.gpus_per_worker is {share:g}, this machine has no GPU; set engine.gpus_per_worker=0")
    return config.workers or (len(gpus) * times_in(1, share) if share else workers_that_fit()), share


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
