"""The configuration of a whole run: the rooms' sections and where they are to be applied."""

import os
from pathlib import Path

from pydantic import Field

import enhancers
from pipeline.config import PipelineConfig, Section


class EngineConfig(Section):
    """Where shards are worked on."""

    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, description="worker processes, one thread each"
    )


class RunConfig(PipelineConfig):
    """Everything `clean-corpus run` depends on."""

    input: Path
    output: Path
    enhancer: str = Field(enhancers.DEFAULT, description="shipped name, or path of trained .safetensors")
    versions: bool = Field(
        False, description="also write kept clips as raw and as enhanced, for `compare`; --compare sets it"
    )
    engine: EngineConfig = EngineConfig()
