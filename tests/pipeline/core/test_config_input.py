"""Settings: every wrong key or value is refused by name, before anything runs."""

import pytest

from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core.config_input import load_yaml, override, validate
from clean_corpus.pipeline.core.errors import ConfigError

PLACES = {"input": "in", "output": "out"}


def test_defaults_need_only_input_and_output():
    assert validate(RunConfig, PLACES).audio.sample_rate == 24000


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("gate.dnsmos_ovrl_mn=2", "unknown key 'gate.dnsmos_ovrl_mn'; did you mean 'dnsmos_ovrl_min'?"),
        ("gates.x=2", "unknown key 'gates'; did you mean 'gate'?"),
        ("audio.sample_rate=20000", r"audio.sample_rate: expected one of 16000, .* the nearest is 22050, got 20000"),
        ("audio.sample_rate=fast", "audio.sample_rate: Input should be a valid integer.*got 'fast'"),
        ("segment.max_s=-1", "segment.max_s: Input should be greater than 0, got -1"),
    ],
)
def test_wrong_settings_are_named(setting, words):
    with pytest.raises(ConfigError, match=words):
        validate(RunConfig, override(PLACES, [setting]))


@pytest.mark.parametrize("text", ["gate", "gate.x", "=3", "input.x=3"])
def test_wrong_assignments_are_named(text):
    with pytest.raises(ConfigError, match="--set"):
        override(PLACES, [text])


def test_yaml_values_and_null():
    config = validate(RunConfig, override(PLACES, ["gate.snr_db_min=null", "audio.channel=1", "dedup.near=false"]))
    assert (config.gate.snr_db_min, config.audio.channel, config.dedup.near) == (None, 1, False)


def test_config_files(tmp_path):
    file = tmp_path / "run.yaml"
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(file)
    file.write_text("- a\n")
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_yaml(file)
    file.write_text("a: [\n")
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_yaml(file)
    file.write_text("gate:\n  snr_db_min: 3\n")
    assert load_yaml(file) == {"gate": {"snr_db_min": 3}}


@pytest.mark.parametrize("text", ["gate:\n  snr_db_min: 3\n  snr_db_min: 4\n", "gate: {}\naudio: {}\ngate: {}\n"])
def test_a_key_that_stands_twice_is_refused(text, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match="stands here again"):
        load_yaml(tmp_path / "run.yaml")


def test_merged_keys_are_not_repeated_ones(tmp_path):
    (tmp_path / "run.yaml").write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n")
    assert load_yaml(tmp_path / "run.yaml")["c"] == {"x": 3, "y": 4}


def test_a_file_with_a_byte_order_mark(tmp_path):
    (tmp_path / "run.yaml").write_bytes("\ufeffgate:\r\n  snr_db_min: 3\r\n".encode())
    assert load_yaml(tmp_path / "run.yaml") == {"gate": {"snr_db_min": 3}}
