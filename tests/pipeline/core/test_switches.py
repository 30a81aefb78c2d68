"""Words for a switch: off is null where null switches off; a number is never made of a boolean."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.observe.hooks import HookConfig
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.config_input import load_yaml, override, parse_yaml, validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.switches import NULL_IS_OFF

PLACES = {"input": "in", "output": "out"}


class Settings(Section):
    limit: Annotated[float | None, NULL_IS_OFF] = 1.0
    workers: int | None = Field(None, ge=1)
    level: float = 0.0
    channel: Literal["mix"] | int = "mix"
    sizes: tuple[int, ...] = (1,)
    weights: dict[str, float] = Field(default_factory=dict)
    near: bool = True
    name: str = "a"
    file: Annotated[str | None, NULL_IS_OFF] = None
    keywords: dict[str, Any] = Field(default_factory=dict)


@pytest.mark.parametrize("word", ["off", "Off", "OFF"])
def test_off_is_null_where_null_switches_off(word, tmp_path):
    (tmp_path / "run.yaml").write_text(f"limit: {word}\nfile: {word}\nnear: {word}\n")
    settings = validate(Settings, load_yaml(tmp_path / "run.yaml"))
    assert (settings.limit, settings.file, settings.near) == (None, None, False)


@pytest.mark.parametrize("word", ["no", "on", "yes", "false", "true", "No", "YES", "True", ".nan"])
@pytest.mark.parametrize("key", ["limit", "workers", "level", "channel", "sizes", "weights"])
def test_a_word_for_a_number_is_refused(key, word):
    value = {"sizes": f"[1, {word}]", "weights": f"{{a: {word}}}"}.get(key, word)
    with pytest.raises(ConfigError, match=f"^{key}: expected a number") as caught:
        validate(Settings, parse_yaml(f"{key}: {value}"))
    assert ("use null" in str(caught.value)) == (key in ("limit", "workers"))


@pytest.mark.parametrize("key", ["workers", "level", "channel"])
def test_off_is_refused_where_null_does_not_switch_off(key):
    with pytest.raises(ConfigError, match=f"^{key}: expected a number"):
        validate(Settings, parse_yaml(f"{key}: off"))


def test_words_where_they_are_words():
    settings = validate(Settings, parse_yaml("{name: no, near: yes, keywords: {causal: yes, kind: on-line}}"))
    assert (settings.name, settings.near, settings.keywords) == ("no", True, {"causal": True, "kind": "on-line"})


def test_numbers_stay_numbers():
    settings = validate(Settings, parse_yaml("{limit: 1e-4, workers: 2, sizes: [1, 2], weights: {a: 0}, channel: 1}"))
    assert (settings.limit, settings.workers, settings.sizes, settings.channel) == (1e-4, 2, (1, 2), 1)


@pytest.mark.parametrize(
    "setting",
    [
        "audio.loudness_lufs",
        "gate.dnsmos_ovrl_min",
        "gate.clipping_ratio_max",
        "score.clean_dir",
        "s3.checksum",
        "observe.log_file",
        "observe.metrics_port",
        "hooks.on_finish",
    ],
)
def test_settings_of_a_run_that_can_be_switched_off(setting):
    section, key = setting.split(".")
    config = validate(RunConfig, override(PLACES, [f"{setting}=off"]))
    assert getattr(getattr(config, section), key) is None
    with pytest.raises(ConfigError, match=setting):
        validate(RunConfig, override(PLACES, [f"{setting}=true"]))


@pytest.mark.parametrize("value", ["off", "no", "false", "true", "on", "yes"])
@pytest.mark.parametrize("setting", ["segment.max_s", "engine.workers", "shards.max_clips", "audio.true_peak_db"])
def test_settings_of_a_run_that_cannot(setting, value):
    with pytest.raises(ConfigError, match=f"{setting}: expected a number"):
        validate(RunConfig, override(PLACES, [f"{setting}={value}"]))


def test_parameters_of_a_deployment_are_read_alike():
    assert RunConfig.model_validate({**PLACES, "audio": {"loudness_lufs": "off"}}).audio.loudness_lufs is None
    assert HookConfig.model_validate({"on_finish": "off"}).on_finish is None
    with pytest.raises(ValueError, match="to switch it off use null"):
        RunConfig.model_validate({**PLACES, "audio": {"loudness_lufs": False}})
