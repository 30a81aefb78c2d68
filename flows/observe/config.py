"""Settings of the logs and metrics of a run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.switches import NULL_IS_OFF


class ObserveConfig(Section):
    """Logs and metrics of the flow's process."""

    log: Literal["text", "json"] = Field("text", description="a line for people, or one JSON object per line")
    log_file: Annotated[Path | None, NULL_IS_OFF] = Field(
        None, description="local file that lines are appended to; null: standard error, as text only warnings"
    )
    metrics_port: Annotated[int | None, NULL_IS_OFF] = Field(
        None, ge=0, le=65535, description="serve Prometheus metrics while the run goes on; 0 takes a free port"
    )
    metrics_host: str = Field("127.0.0.1", description="address that metrics_port listens at; 0.0.0.0 in a container")
    metrics_file: Annotated[Path | None, NULL_IS_OFF] = Field(
        None, description="local .prom file for node_exporter's textfile collector; of each output its last run"
    )
    metrics_file_every_s: float = Field(15.0, gt=0, description="how often metrics_file is replaced, seconds")

    @field_validator("log_file", "metrics_file")
    @classmethod
    def _local(cls, path: Path | None) -> Path | None:
        if path is not None and str(path).partition("/")[0].endswith(":"):
            raise ValueError("must be a local file")
        return path

    @field_validator("metrics_file")
    @classmethod
    def _collected(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix != ".prom":
            raise ValueError("must end in .prom, the collector reads no other")
        return path
