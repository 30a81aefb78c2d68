"""Sections are frozen, know their keys and their limits."""

import pytest
from pydantic import ValidationError

from clean_corpus.pipeline.core.config import PipelineConfig, S3Config


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        PipelineConfig().audio.sample_rate = 8000


def test_every_setting_has_a_description():
    for section in PipelineConfig.model_fields.values():
        for name, setting in section.annotation.model_fields.items():
            assert setting.description, name


def test_an_address_with_a_password_is_refused():
    with pytest.raises(ValueError, match="endpoint_url"):
        S3Config(endpoint_url="http://key:secret@127.0.0.1:9000")
