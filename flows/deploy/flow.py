"""The flow `clean-corpus` as a Prefect server knows it: its parameters are the fields of RunConfig, one by one."""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from clean_corpus.flows.clean_corpus import clean_corpus as inner
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.observe import hooks
from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.flows.observe.hooks import HookConfig
from clean_corpus.flows.observe.permissions import require_permitted, with_machine_settings
from clean_corpus.pipeline.core.config import (
    AudioConfig,
    DedupConfig,
    EnhanceConfig,
    GateConfig,
    ManifestConfig,
    S3Config,
    ScoreConfig,
    SegmentConfig,
    ShardConfig,
    SpeakersConfig,
    TextConfig,
)
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.export.config import ExportConfig

_DEFAULTS = {name: field.get_default() for name, field in RunConfig.model_fields.items() if not field.is_required()}


@flow(
    name="clean-corpus",
    task_runner=inner.task_runner,
    on_completion=[hooks.notify],
    on_failure=[hooks.notify],
    on_crashed=[hooks.notify],
    on_cancellation=[hooks.notify],
)
def clean_corpus(
    input: str,
    output: str,
    manifest: ManifestConfig = _DEFAULTS["manifest"],
    audio: AudioConfig = _DEFAULTS["audio"],
    segment: SegmentConfig = _DEFAULTS["segment"],
    dedup: DedupConfig = _DEFAULTS["dedup"],
    shards: ShardConfig = _DEFAULTS["shards"],
    enhance: EnhanceConfig = _DEFAULTS["enhance"],
    text: TextConfig = _DEFAULTS["text"],
    score: ScoreConfig = _DEFAULTS["score"],
    speakers: SpeakersConfig = _DEFAULTS["speakers"],
    gate: GateConfig = _DEFAULTS["gate"],
    s3: S3Config = _DEFAULTS["s3"],
    enhancer: str = _DEFAULTS["enhancer"],
    upper_band: str | None = _DEFAULTS["upper_band"],
    variants: bool = _DEFAULTS["variants"],
    keep_versions: Annotated[int, Field(ge=1)] = _DEFAULTS["keep_versions"],
    export: ExportConfig = _DEFAULTS["export"],
    engine: EngineConfig = _DEFAULTS["engine"],
    observe: ObserveConfig = _DEFAULTS["observe"],
    hooks: HookConfig = _DEFAULTS["hooks"],
) -> dict[str, Any]:
    """Clean every recording below input into output; returns what run.json says. A section that is given replaces the
    deployment's whole section.

    Raises: ConfigError before any work if a setting cannot work or only the machine may set it, and what
    clean_corpus.flows.clean_corpus raises.
    """
    parameters = locals()
    given = {name: _set_fields(parameters[name]) for name in RunConfig.model_fields}
    require_permitted(given)
    return inner.fn(validate(RunConfig, with_machine_settings(given)))


def _set_fields(value: Any) -> Any:
    """Return the fields of a section that were set: the default of another may depend on the machine that works."""
    return value.model_dump(exclude_unset=True) if hasattr(value, "model_dump") else value
