"""Trainings that start from a base: its sizes and weights, and what becomes of its speakers."""

import pytest
import torch

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.vocoder.checkpoint import Vocoder, build
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training import base
from clean_corpus.vocoder.training.config import VocoderConfig
from tests.support.wavenets import save_small_vocoder, small_wavenet


def test_sizes_and_emphasis_left_out_are_those_of_the_base(tmp_path):
    folder = save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4])
    config, found = base.resolve(VocoderConfig(start_from=str(folder)))
    assert config.features == VocoderConfig().features, "or run.json of a training before would differ"
    assert config.sizes["layers"] == 6 and config.sizes["upsampling"] == [5, 4, 4] and config.emphasis == 0
    assert found.sha256 == found.about()["sha256"] == sha256_file(folder / "best.safetensors")
    assert base.resolve(config)[0] == config, "of a comparison, whose trainings resolve it again"
    assert base.resolve(VocoderConfig())[0].emphasis == 0.85 and base.resolve(VocoderConfig())[1] is None


def test_features_left_out_are_those_of_the_base(tmp_path):
    mel = LogMel(sample_rate=24000, hop_length=300, win_length=1200, n_fft=2048, f_max_hz=11000)
    folder = save_small_vocoder(tmp_path, mel, upsampling=[5, 6, 10])
    for features in ({}, {"sample_rate": 24000}, {"f_max_hz": 11000, "hop_length": 300}):
        given = VocoderConfig.model_validate({"start_from": str(folder), "features": features})
        config = base.resolve(VocoderConfig.model_validate(given))[0]
        assert config.features.log_mel() == mel and base.resolve(config)[0] == config
    for name, value, there in (("sample_rate", 16000, 24000), ("f_max_hz", None, 11000)):
        features, named = {name: value}, f"{name} is {there}"
        given = VocoderConfig.model_validate({"start_from": str(folder), "features": features})
        with pytest.raises(ConfigError, match=rf"its features\.{named}"):
            base.resolve(given)


def test_a_base_without_a_source_may_be_given_one_that_adds_nothing_at_first(tmp_path):
    folder = save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4])
    config, found = base.resolve(VocoderConfig(start_from=str(folder), sizes={"harmonics": 3}))
    assert config.sizes["harmonics"] == 3 and config.sizes["layers"] == 6
    network = build(config.sizes, ())
    base.start(network, found.vocoder, ())
    x, mel = torch.rand(1, 800) - 0.5, torch.randn(1, 45, 10)
    with torch.no_grad():
        assert torch.equal(network.nll(x, mel), found.vocoder.network.nll(x, mel))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"sizes": {"layers": 8}}, "its layers is 6, this training's 8"),
        ({"sizes": {"kernel_size": 3}}, "its kernel_size is 2, this training's 3"),
        ({"emphasis": 0.85}, r"its emphasis is 0.0, this training's 0\.85"),
        ({"features": {"n_fft": 1024}}, r"its features\.n_fft is 512, this training's 1024"),
    ],
)
def test_what_differs_from_the_base_is_named_with_both_values(tmp_path, settings, named):
    folder = save_small_vocoder(tmp_path, LogMel(), upsampling=[5, 4, 4])
    with pytest.raises(ConfigError, match=f"start_from {folder}: {named}; give the base's"):
        base.resolve(VocoderConfig.model_validate({"start_from": str(folder)} | settings))


def test_a_base_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="nowhere: no trained vocoder"):
        base.resolve(VocoderConfig(start_from="nowhere"))


def voices():
    """A base of two speakers, and what it expects of some samples from the frames of each, and of their mean."""
    network = small_wavenet(speakers=2)
    network.mel_mean.fill_(-3.0)
    x, mel = (torch.rand(1, 80) - 0.5), torch.randn(1, 45, 10)
    with torch.no_grad():
        expected = [network(x, mel, torch.tensor([i])) for i in (0, 1)]
        one = small_wavenet(speakers=1)
        one.load_state_dict(network.state_dict() | {"speaker.weight": network.speaker.weight.mean(0, keepdim=True)})
        expected.append(one(x, mel, torch.tensor([0])))
    return Vocoder(network, LogMel(), ("anna", "ben"), {}), x, mel, expected


def test_speakers_are_mapped_by_name_and_new_ones_begin_with_the_mean():
    vocoder, x, mel, (_, ben, mean) = voices()
    network = small_wavenet(speakers=2)
    base.start(network, vocoder, ("ben", "carl"))
    with torch.no_grad():
        assert torch.equal(network(x, mel, torch.tensor([0])), ben)
        assert torch.allclose(network(x, mel, torch.tensor([1])), mean, atol=1e-6)


def test_without_speakers_the_network_begins_with_their_mean():
    vocoder, x, mel, (_, _, mean) = voices()
    network = small_wavenet()
    base.start(network, vocoder, ("carl",))
    with torch.no_grad():
        assert torch.allclose(network(x, mel), mean, atol=1e-5)  # added to biases here, to frames there
    assert torch.equal(network.mel_mean, vocoder.network.mel_mean)


def test_speakers_of_a_base_without_any_begin_alike():
    network, without = small_wavenet(speakers=3), small_wavenet()
    base.start(network, Vocoder(without, LogMel(), ("anna",), {}), ("a", "b", "c"))
    x, mel = torch.zeros(1, 8), torch.randn(1, 45, 1)
    with torch.no_grad():
        assert all(torch.equal(network(x, mel, torch.tensor([i])), without(x, mel)) for i in range(3))
