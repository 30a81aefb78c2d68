"""The base of vocoders: which recordings it is trained on, and a configuration that is one."""

from itertools import pairwise

import pytest
import yaml

from clean_corpus.vocoder.checkpoint import build, load_vocoder
from clean_corpus.vocoder.training.config import VocoderConfig


@pytest.fixture
def script(benchmark):
    return benchmark("wavenet_base")


def test_recordings_of_both_folders_are_found_with_their_speakers(script, tmp_path):
    for name in ("train/103-1240-0000.flac", "many_16k/0024/000240099.ogg", "english_48k/wavs/a.ogg", "train/README"):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = script.recordings(tmp_path)
    assert {key: speaker for key, (_, speaker) in found.items()} == {
        "train-103-103-1240-0000": "train-103", "many_16k-0024-000240099": "many_16k-0024",
    }  # fmt: skip
    (tmp_path / "speech" / "many_16k" / "0024" / "000240099.ogg").unlink()
    with pytest.raises(SystemExit, match="many_16k: no recordings; set CLEAN_CORPUS_DATA"):
        script.recordings(tmp_path)


def test_the_configuration_is_one_and_the_hours_decide_the_updates(script, tmp_path):
    config = VocoderConfig.model_validate(yaml.safe_load(script.CONFIG.read_text()))
    network = build(config.sizes, [])
    assert network.hop_length == config.features.hop_length and network.receptive_field == 3 * 255 + 1
    assert "10000 updates hear 11.1 h" in script.commands(tmp_path, None)
    assert "900 updates hear 1.0 h" in script.commands(tmp_path, 1.0)


def test_the_base_is_given_a_source_as_its_second_configuration_says(script):
    config = VocoderConfig.model_validate(yaml.safe_load(script.SOURCE_CONFIG.read_text()))
    shipped = load_vocoder(script.NAME).card
    assert config.sizes["harmonics"] == shipped["sizes"]["harmonics"] and config.steps == shipped["steps"]
    assert shipped["voiced_temperature"] == config.voiced_temperature == script.TEMPERATURE


def test_steps_of_a_voice_differ_by_what_they_name(benchmark):
    steps = benchmark("voice_steps").steps("plain")
    configs = [VocoderConfig.model_validate(step.training) for step in steps]
    assert {config.steps for config in configs} == {400}
    changed = [
        {name for name in VocoderConfig.model_fields if getattr(before, name) != getattr(after, name)}
        for before, after in pairwise(configs)
    ]
    assert changed[:4] == [{"lr_schedule"}, {"emphasis"}, {"sizes"}, {"start_from", "emphasis", "sizes"}]
    assert changed[4:] == [set(), {"sizes"}, {"start_from", "sizes"}]
    for config in configs[:4]:
        assert build(config.sizes, []).hop_length == config.features.hop_length
