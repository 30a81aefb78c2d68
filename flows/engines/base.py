"""Interface, settings and errors of engines, which call functions in workers that keep their models loaded."""

from collections.abc import Callable
from typing import Literal, Protocol, Self, TypeVar

from pydantic import Field, field_validator

from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

Result = TypeVar("Result")

PRELOAD = [
    "torch",
    "scipy.signal",
    "pyloudnorm",
    "clean_corpus.enhancers.serving.enhancer",
    "clean_corpus.pipeline.quality.scorer",
    "clean_corpus.pipeline.quality.p835_trunk",
    "clean_corpus.pipeline.corpus.ingest",
    "clean_corpus.pipeline.corpus.enhance",
    "clean_corpus.pipeline.corpus.score",
    "clean_corpus.pipeline.corpus.publish",
]
"""Modules that calls need; a worker imports them before its first call."""


class WorkerDied(CleanCorpusError):
    """A worker process ended in the middle of a call; the call may be made again."""


class WorkerHung(WorkerDied):
    """A call did not end within its time limit, and its worker process was ended."""


class EngineClosed(CleanCorpusError):
    """The run is over, cancelled or failed, and its workers are gone."""


class NoWorkers(ConfigError):
    """There is no worker, and none came within the time that the settings give it."""


class EngineConfig(Section):
    """Settings of the engine: the workers that process shards."""

    kind: Literal["local", "ray"] = Field("local", description="processes on this machine, or actors of a Ray cluster")
    workers: int | None = Field(
        None,
        ge=1,
        description="worker processes, one thread each; null: as many as the GPUs' shares allow, or one per core where "
        "there is no GPU; on a Ray cluster as many as it has room for when the run starts. More than there is room for "
        "wait for a node to join",
    )
    gpus_per_worker: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of a GPU that each worker has, 1 at most, 0 for none; null: as small, where there are GPUs, "
        "as leaves a worker a core and 2.5 GB of both memories, 0.0625 at least",
    )
    address: str | None = Field(
        None, description="ray only: HOST:PORT of a cluster, or auto for this machine's; null: one started for the run"
    )
    cpus_per_worker: float = Field(1, gt=0, description="ray only: cores that the cluster sets aside for each worker")
    ahead: int = Field(
        1, ge=0, le=8, description="ray only: shards a worker reads or writes while it computes another, at most"
    )
    start_timeout_s: float = Field(
        300, gt=0, description="ray only: how long to go on without a single worker before giving up, seconds"
    )

    call_limit_s: float | None = Field(
        600,
        gt=0,
        description="a worker's call counts as a crash, and its process is ended, after so many seconds, and as many "
        "again for every 2 minutes of audio in it; null: never",
    )

    @field_validator("gpus_per_worker", "cpus_per_worker")
    @classmethod
    def _whole_ten_thousandths(cls, value: float | None) -> float | None:
        if value is not None and round(value, 4) != value:
            raise ValueError(f"{value}: Ray counts in steps of 0.0001")
        return value

    @field_validator("address")
    @classmethod
    def _no_ray_client(cls, value: str | None) -> str | None:
        host, _, port = (value or "auto").rpartition(":")
        if value and value != "auto" and ("://" in value or not host or not port.isdigit()):
            raise ValueError(
                f"{value}: give HOST:PORT or auto, and run this on a machine of the cluster; one that adds nothing "
                "else to it joins by `ray start --address=HOST:PORT --num-cpus=0`"
            )
        return value


LIMIT_AUDIO_S = 120.0  # of audio that lets a call take engine.call_limit_s longer


def call_limit_s(config: EngineConfig, audio_s: float) -> float | None:
    """Return the time that a call with so much audio may take, None where there is no limit.

    >>> call_limit_s(EngineConfig(), 600), call_limit_s(EngineConfig(call_limit_s=None), 600)
    (3600.0, None)
    """
    return None if config.call_limit_s is None else config.call_limit_s * (1 + audio_s / LIMIT_AUDIO_S)


def hung(function: Callable[..., object], limit_s: float, where: str) -> WorkerHung:
    """Return the error of a call that did not end."""
    return WorkerHung(
        f"{where} was ended in {function.__name__}, which took longer than {limit_s:,.0f} s; if this machine is that "
        "slow, set engine.call_limit_s higher"
    )


class Engine(Protocol):
    """Calls module-level functions in workers; a context manager, made by `open_engine`."""

    workers: int
    """Number of workers that the engine has, or is to have."""
    slots: int
    """Number of calls of `run` that are worth making at a time; more would only wait."""
    present: int
    """Number of workers that are ready now."""

    def run(self, function: Callable[..., Result], *args: object, limit_s: float | None = None) -> Result: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
