"""Settings of logs and metrics: each says what it is, and a wrong one is named."""

from pathlib import Path

import pytest

from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics_file": "s3://bucket/run.prom"}, "metrics_file: .*must be a local file"),
        ({"metrics_file": "run.txt"}, r"metrics_file: .*must end in \.prom"),
        ({"log_file": "s3://bucket/run.log"}, "log_file: .*must be a local file"),
        ({"metrics_port": 65536}, "metrics_port: .*less than or equal to 65535, got 65536"),
        ({"metrics_port": -1}, "metrics_port: .*greater than or equal to 0, got -1"),
        ({"metrics_file_every_s": 0}, "metrics_file_every_s: .*greater than 0, got 0"),
        ({"log": "xml"}, "log: .*'text' or 'json', got 'xml'"),
        ({"metric_port": 1}, "unknown key 'metric_port'; did you mean 'metrics_port'"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        validate(ObserveConfig, settings)


def test_every_setting_says_what_it_is():
    assert all(field.description for field in ObserveConfig.model_fields.values())


def test_a_colon_in_a_name_is_no_address():
    config = validate(ObserveConfig, {"log_file": "/logs/run 12:30.log", "metrics_file": "./a:b/run.prom"})
    assert (config.log_file, config.metrics_file) == (Path("/logs/run 12:30.log"), Path("a:b/run.prom"))
