"""What a layout wants of the run before it, and what becomes of settings that say otherwise."""

import pytest

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.deploy.deployment import parameters_of
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.config_input import override, validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.export.config import ExportConfig, conflicts


def configured(*settings, output="out"):
    return validate(RunConfig, override({"input": "in", "output": output}, list(settings)))


def test_a_layout_sets_rate_and_lengths():
    config = configured("export.layout=xtts")
    assert (config.audio.sample_rate, config.segment.max_s, config.segment.min_s) == (22050, 11.6, 1.0)
    assert str(config.export_to) == "out/export/xtts"
    assert configured("export.layout=xtts", output="s3://b/out").export_to == S3Folder("b", "out/export/xtts")
    assert str(configured("export.layout=xtts", "export.to=elsewhere").export_to) == "elsewhere"
    assert configured("export.layout=piper", "export.sample_rate=16000").audio.sample_rate == 16000
    assert configured("export.layout=f5-tts").segment == configured().segment, "its limits are wider"
    assert configured("export.layout=f5-tts").segment.trim
    plain = configured()
    assert plain.export_to is None and plain.audio == RunConfig(input="in", output="out").audio


@pytest.mark.parametrize(
    ("sample_rate", "least_s", "most_s"), [(8000, 1.1, 20.0), (22050, 1.0, 11.6), (48000, 1.0, 5.3)]
)
def test_lengths_that_a_trainer_counts_in_samples_follow_the_rate(sample_rate, least_s, most_s):
    config = configured("export.layout=vits", f"export.sample_rate={sample_rate}")
    assert (config.segment.min_s, config.segment.max_s) == (least_s, most_s)
    assert conflicts(config.export, config.segment, config.text) == []


def test_settings_that_were_made_win_and_their_price_is_named():
    config = configured("export.layout=xtts", "audio.sample_rate=48000", "segment.max_s=15", "segment.min_s=0.1")
    assert (config.audio.sample_rate, config.segment.max_s, config.segment.min_s) == (48000, 15.0, 0.1)
    long, short = conflicts(config.export, config.segment, config.text)
    (silent,) = conflicts(
        ExportConfig(layout="hf"), configured("export.layout=hf", "segment.trim=off").segment, TextConfig()
    )
    assert silent.startswith("segment.trim is false")
    assert long.startswith("segment.max_s is 15 s, xtts takes 11.6 s") and "no less than 0.5 s" in short
    assert conflicts(ExportConfig(), config.segment, config.text) == []
    with pytest.raises(ConfigError, match=r"^audio.sample_rate is 16000 Hz, export.layout xtts takes 22050 Hz; leave"):
        configured("export.layout=xtts", "audio.sample_rate=16000")


def test_a_run_for_a_reader_of_languages_says_what_it_costs_to_name_none():
    def said(*settings):
        config = configured("export.layout=gpt-sovits", *settings)
        return conflicts(config.export, config.segment, config.text)

    (unknown,), (wrong,) = said(), said("text.language=nl")
    assert unknown.startswith("export.language and text.language are null, gpt-sovits wants the language of each clip")
    assert wrong.startswith("the language of clips whose own is not known is nl, gpt-sovits takes en, ja, ko, yue, zh")
    assert (
        said("export.language=eng") == said("text.language=en") == said("export.language=en", "text.language=nl") == []
    )


def test_a_deployment_keeps_the_layout_and_what_it_wants():
    stored = parameters_of(configured("export.layout=vits", "export.speakers=[anna]"), "s3://b/in", "s3://b/out")
    assert stored["export"] == {"layout": "vits", "speakers": ["anna"]}
    assert validate(RunConfig, stored).segment.max_s == 11.6


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("export.layout=pipre", "no layout 'pipre'; did you mean 'piper'"),
        ("export.split=0.5", "export.split: .*expected the shares"),
        ("export.split_by=hash", "export.split_by"),
        ("export.sample_rate=1", "export.sample_rate"),
        ("export.to=https://x/y", "a place is a local path or s3://"),
    ],
)
def test_wrong_settings_are_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        configured(setting)
