"""The configuration of a whole run: the rooms' sections and where they are to be applied."""

from pydantic import Field

import enhancers
from flows.engines import EngineConfig
from flows.hooks import HookConfig
from flows.observe import ObserveConfig
from pipeline.config import PipelineConfig
from pipeline.places import PlaceField


class RunConfig(PipelineConfig):
    """Everything `clean-corpus run` depends on."""

    input: PlaceField
    output: PlaceField
    enhancer: str = Field(
        enhancers.DEFAULT, description="shipped name, or path of trained .safetensors, local or s3://"
    )
    variants: bool = Field(
        False, description="also write kept clips as raw and as enhanced, for `compare`; --compare sets it"
    )
    keep_versions: int = Field(10, ge=1, description="older versions of the corpus are dropped after a run")
    engine: EngineConfig = EngineConfig()
    observe: ObserveConfig = ObserveConfig()
    hooks: HookConfig = HookConfig()


ELSEWHERE = frozenset({"input", "output", "variants", "keep_versions", "s3", "engine", "observe", "hooks"})
"""Fields that say where, how fast and who hears of it: they decide nothing over a clip."""
