"""The settings of an export, and what a layout wants of the settings of the run before it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from clean_corpus.pipeline.core.config import Section, SegmentConfig, TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import LocationField
from clean_corpus.pipeline.core.rates import RATES_HZ
from clean_corpus.pipeline.core.switches import NULL_IS_OFF
from clean_corpus.pipeline.export.languages import as_read
from clean_corpus.pipeline.export.layouts import LAYOUTS, Layout, find
from clean_corpus.pipeline.export.split import Shares, parse_shares


class ExportConfig(Section):
    """The layout that kept clips are exported in, and how."""

    layout: Annotated[str | None, NULL_IS_OFF] = Field(
        None, description=f"also write kept clips for a trainer, and set rate and lengths for it: {', '.join(LAYOUTS)}"
    )
    to: Annotated[LocationField | None, NULL_IS_OFF] = Field(
        None, description="where that goes, local or s3://; null: OUTPUT/export/LAYOUT"
    )
    sample_rate: int | None = Field(
        None, ge=8000, le=48000, description="rate of the exported audio, Hz; null: the layout's, or the corpus' own"
    )
    speakers: tuple[str, ...] = Field((), description="export these speakers alone; none: all")
    split: str | None = Field(
        None, description="shares of train/dev/test, for example 0.9/0.05/0.05; null: the layout's, docs/EXPORT.md"
    )
    split_by: str = Field(
        "text", pattern="^(text|speaker)$", description="clips of one text, or of one speaker, stay on one side"
    )
    language: str | None = Field(
        None, description="of clips whose own is not known, for example en; null: text.language"
    )
    prefix: str | None = Field(
        None, description="folder that the trainer finds the export in, for lists with whole paths; null: where it is"
    )

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, value: str | None) -> str | None:
        if value is not None:
            find(value)
        return value

    @field_validator("split", mode="before")
    @classmethod
    def _one_share(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value  # which YAML takes "1" for

    @field_validator("split")
    @classmethod
    def _shares(cls, value: str | None) -> str | None:
        if value is not None:
            parse_shares(value)
        return value

    def shares(self, layout: Layout) -> Shares:
        """Return the shares of train, dev and test."""
        return parse_shares(self.split or layout.split)

    def with_language(self, language: str | None) -> "ExportConfig":
        """Return these settings with the language of a run's texts, where they name none."""
        return self if self.language else self.model_copy(update={"language": language})

    def rate(self, layout: Layout) -> int | None:
        """Return the rate that is wanted, Hz; None for that of the corpus."""
        return self.sample_rate or layout.sample_rate


def with_layout_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings with those that its layout wants in place of defaults; settings that were made stay.

    Raises: ConfigError if the run would end below the layout's rate.
    """
    result = dict(data)
    export = _plain(result.get("export"))
    name = export.get("layout")
    if name not in LAYOUTS:
        return result
    layout = LAYOUTS[name]
    audio, segment = _plain(result.get("audio")), _plain(result.get("segment"))
    wanted = export.get("sample_rate")  # before it is validated
    if rate := wanted if isinstance(wanted, int) and wanted > 0 else layout.sample_rate:
        made = audio.setdefault("sample_rate", min((r for r in RATES_HZ if r >= rate), default=rate))
        if isinstance(made, int) and made < rate:
            raise ConfigError(
                f"audio.sample_rate is {made} Hz, export.layout {name} takes {rate} Hz; leave audio.sample_rate out, "
                f"or set export.sample_rate={made} if the training is meant to have it"
            )
    defaults, (least_s, most_s) = SegmentConfig.model_fields, layout.limits_s(rate)
    if most_s and most_s < defaults["max_s"].default:
        segment.setdefault("max_s", math.floor(10 * most_s) / 10)
    if least_s and least_s > defaults["min_s"].default:
        segment.setdefault("min_s", math.ceil(10 * least_s) / 10)
    segment.setdefault("trim", True)
    return result | {"audio": audio, "segment": segment}


def conflicts(export: ExportConfig, segment: SegmentConfig, text: TextConfig) -> list[str]:
    """Return a sentence for each setting of a run that costs its export clips."""
    if export.layout is None:
        return []
    layout, found = find(export.layout), []
    least_s, most_s = layout.limits_s(export.rate(layout))
    if most_s and segment.max_s > most_s:
        found.append(
            f"segment.max_s is {segment.max_s:g} s, {export.layout} takes {most_s:.3g} s: longer clips stay in the "
            "corpus and are left out of the export"
        )
    if not segment.trim:
        found.append("segment.trim is false: the silence around the speech of each clip stays in the export")
    if least_s and segment.min_s < least_s:
        found.append(
            f"segment.min_s is {segment.min_s:g} s, {export.layout} takes no less than {least_s:.3g} s: shorter "
            "clips stay in the corpus and are left out of the export"
        )
    language, taken = export.with_language(text.language).language, ", ".join(sorted(set(layout.languages.values())))
    if layout.languages and not language:
        found.append(
            f"export.language and text.language are null, {export.layout} wants the language of each clip: those whose "
            "manifest gives none are left out of the export; set export.language=en if they are English"
        )
    elif layout.languages and as_read(language, layout.languages) is None:
        found.append(
            f"the language of clips whose own is not known is {language}, {export.layout} takes {taken}: they stay in "
            "the corpus and are left out of the export"
        )
    return found


def _plain(section: Any) -> dict[str, Any]:
    """Return the settings of a section that were made."""
    if section is None:
        return {}
    return dict(section) if isinstance(section, Mapping) else section.model_dump(exclude_unset=True)
