"""Settings of a command: single ones over options over the YAML file, and what cannot be is refused."""

from pathlib import Path

import pytest

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.cli import settings
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder


@pytest.fixture
def yaml(tmp_path) -> str:
    path = tmp_path / "run.yaml"
    path.write_text("input: elsewhere\nenhancer: of-the-file\nengine: {workers: 5}\ngate: {snr_db_min: 3}\n")
    return str(path)


def configure(tmp_path, config=None, enhancer=None, single=(), workers=None):
    return settings.run_config(str(tmp_path), f"{tmp_path}/out", config, enhancer, list(single), workers)


def test_no_file_gives_no_settings():
    assert settings.read_yaml(None) == {}


def test_a_file_gives_its_sections(yaml, tmp_path):
    assert settings.read_yaml(yaml)["engine"] == {"workers": 5}
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file"):
        settings.read_yaml(f"{tmp_path}/gone.yaml")


def test_input_and_output_are_those_of_the_command(tmp_path, yaml):
    config = configure(tmp_path, yaml)
    assert (config.input, config.output) == (tmp_path, tmp_path / "out")
    assert (config.enhancer, config.engine.workers, config.gate.snr_db_min) == ("of-the-file", 5, 3)


def test_options_overrule_the_file_and_single_settings_overrule_both(tmp_path, yaml):
    config = configure(tmp_path, yaml, "mine", ["gate.snr_db_min=4"], 2)
    assert (config.enhancer, config.engine.workers, config.gate.snr_db_min) == ("mine", 2, 4)
    config = configure(tmp_path, yaml, "mine", ["engine.workers=7", "enhancer=last"], 2)
    assert (config.enhancer, config.engine.workers) == ("last", 7)


def test_without_options_the_defaults_hold(tmp_path):
    config = configure(tmp_path)
    assert (config.enhancer, config.engine.workers) == (checkpoints.DEFAULT, None)


def test_a_bucket_is_not_looked_for_on_the_disk(tmp_path):
    config = settings.run_config("s3://b/in", "s3://b/out", None, None, [], None)
    assert (config.input, config.output) == (S3Folder("b", "in"), S3Folder("b", "out"))


@pytest.mark.parametrize(
    ("source", "output", "single", "words"),
    [
        ("{tmp}/absent", "out", [], "INPUT {tmp}/absent: no such file or folder"),
        ("{tmp}", "gs://b/out", [], "gs://b/out: a place is a local path or s3://BUCKET/FOLDER"),
        ("s3://", "out", [], "s3://: no bucket; write s3://BUCKET/FOLDER"),
        ("{tmp}", "out", ["gate.snr_db_mni=1"], "unknown key 'gate.snr_db_mni'; did you mean 'snr_db_min'?"),
        ("{tmp}", "out", ["keep_versions=0"], "keep_versions: Input should be greater than or equal to 1, got 0"),
        ("{tmp}", "out", ["gate"], "--set 'gate': expected section.key=value"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, source, output, single, words):
    def place(text: str) -> str:
        return text.replace("{tmp}", str(tmp_path))

    with pytest.raises(ConfigError) as refused:
        settings.run_config(place(source), output, None, None, single, None)
    assert place(words) in str(refused.value)


def test_workers_are_one_per_core_unless_asked_for(monkeypatch):
    monkeypatch.setattr("clean_corpus.flows.engines.machine.usable_cores", lambda: 6)
    monkeypatch.setattr("clean_corpus.flows.engines.machine.memory_limit", lambda: 64e9)
    assert (settings.workers_or_cores(None), settings.workers_or_cores(2)) == (6, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")  # each is shared by one worker, for which there is a core
    assert (settings.workers_or_share(None), settings.workers_or_share(2)) == (4, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert settings.workers_or_share(None) == 6


def test_a_file_may_be_the_input(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    assert settings.run_config(f"{tmp_path}/a.wav", "out", None, None, [], None).input == Path(tmp_path, "a.wav")
