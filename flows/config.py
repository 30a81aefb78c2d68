"""The configuration of a whole run: the sections of all rooms, and the input and output they are applied to."""

from pydantic import Field

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.flows.observe.hooks import HookConfig
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.locations import LocationField


class RunConfig(PipelineConfig):
    """All settings of `clean-corpus run`."""

    input: LocationField
    output: LocationField
    enhancer: str = Field(
        checkpoints.DEFAULT,
        description="shipped name, or path of trained .safetensors, local or s3://; none judges clips as they came",
    )
    variants: bool = Field(
        False, description="also write kept clips as raw and as enhanced, for `compare`; --compare sets it"
    )
    keep_versions: int = Field(10, ge=1, description="older versions of the corpus are dropped after a run")
    engine: EngineConfig = EngineConfig()
    observe: ObserveConfig = ObserveConfig()
    hooks: HookConfig = HookConfig()

    @property
    def enhances(self) -> bool:
        """Whether a network runs."""
        return self.enhancer != checkpoints.NO_ENHANCER


ELSEWHERE = frozenset({"input", "output", "variants", "keep_versions", "s3", "engine", "observe", "hooks"})
"""Fields about locations, speed and reports of a run, which decide nothing over a clip."""
