"""The configuration of a whole run: the sections of all rooms, and the input and output they are applied to."""

from typing import Any

from pydantic import Field, model_validator

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.flows.observe.hooks import HookConfig
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.locations import Location, LocationField
from clean_corpus.pipeline.export.config import ExportConfig, with_layout_settings


class RunConfig(PipelineConfig):
    """All settings of `clean-corpus run`."""

    input: LocationField
    output: LocationField
    enhancer: str = Field(
        checkpoints.DEFAULT,
        description="shipped name, or path of trained .safetensors, local or s3://; none judges clips as they came",
    )
    upper_band: str | None = Field(
        None,
        description="treats what lies above 8 kHz: full-band weights as for the enhancer, or extrapolated, for the "
        "enhancer's own gains; null: what the enhancer's card names",
    )
    variants: bool = Field(
        False, description="also write kept clips as raw and as enhanced, for `compare`; --compare sets it"
    )
    keep_versions: int = Field(10, ge=1, description="older versions of the corpus are dropped after a run")
    export: ExportConfig = ExportConfig()
    engine: EngineConfig = EngineConfig()
    observe: ObserveConfig = ObserveConfig()
    hooks: HookConfig = HookConfig()

    @model_validator(mode="before")
    @classmethod
    def _for_its_export(cls, data: Any) -> Any:
        return with_layout_settings(data) if isinstance(data, dict) else data

    @property
    def enhances(self) -> bool:
        """Whether a network runs."""
        return self.enhancer != checkpoints.NO_ENHANCER

    @property
    def export_to(self) -> Location | None:
        """Where the kept clips are exported to, None if they are not."""
        if self.export.layout is None:
            return None
        return self.export.to or self.output / "export" / self.export.layout


ELSEWHERE = frozenset({"input", "output", "variants", "keep_versions", "s3", "export", "engine", "observe", "hooks"})
"""Fields about locations, speed and reports of a run, which decide nothing over a clip."""
