"""The configuration of a whole run: what it needs, and which of its fields decide over clips."""

import json

import pytest

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.config import ELSEWHERE, RunConfig
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder


def test_input_and_output_are_all_that_is_needed():
    config = validate(RunConfig, {"input": "s3://b/in", "output": "s3://b/out"})
    assert (config.input, config.output) == (S3Folder("b", "in"), S3Folder("b", "out"))
    assert (config.enhancer, config.variants, config.keep_versions) == (checkpoints.DEFAULT, False, 10)
    with pytest.raises(ConfigError, match="output: Field required"):
        validate(RunConfig, {"input": "in"})


def test_the_default_weights_are_shipped():
    assert checkpoints.card(RunConfig(input="in", output="out").enhancer)


def test_fields_that_decide_over_a_clip_are_these_and_no_others():
    """A new field is an audible one unless it says otherwise: results that it changes would be reused."""
    assert set(RunConfig.model_fields) >= ELSEWHERE
    assert set(RunConfig.model_fields) - ELSEWHERE == {
        "audio", "segment", "dedup", "shards", "enhance", "score", "gate", "manifest", "enhancer",
        "upper_band", "speakers", "text",
    }  # fmt: skip


def test_a_configuration_is_plain_data_and_back_again():
    some = {"gate": {"snr_db_min": 3}, "score": {"clean_dir": "clean"}, "observe": {"log_file": "a.log"}}
    config = validate(RunConfig, {"input": "in", "output": "s3://b/out", **some})
    assert RunConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ConfigError, match=r"input: .*a local path or s3://BUCKET/FOLDER"):
        validate(RunConfig, {"input": 3, "output": "out"})
