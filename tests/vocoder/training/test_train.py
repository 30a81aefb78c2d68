"""Training of the vocoder on shards: it learns, resumes exactly, and refuses what it cannot train on."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.training import train as training
from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.module import VocoderModule
from tests.support.tones import tone, write_tones

SIZES = {"layers": 4, "stacks": 1, "residual_channels": 16, "gate_channels": 32, "skip_channels": 16,
         "conditioning_channels": 16}  # fmt: skip


def config(**settings):
    base = {
        "steps": 8, "steps_per_epoch": 4, "batch_size": 2, "frames": 20, "validation_share": 0.2, "workers": 0,
        "validation_clips": 4, "heard_s": 0.05, "ema_decay": 0.5, "shuffle_clips": 4, "sizes": SIZES,
    }  # fmt: skip
    return VocoderConfig.model_validate(base | settings)


def run(shards, out, **settings):
    return training.train(shards, out, config(**settings), force=True)


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    run(shards, out, steps=60, steps_per_epoch=30, learning_rate=1e-2)
    return out


def test_training_makes_the_voice_likelier(trained):
    """A blind guess among 256 classes costs log 256 nats."""
    assert load_vocoder(trained).card["best_validation_nll_nats"] < np.log(256) - 1


def test_a_training_starts_from_its_base_and_its_card_says_so(shards, trained, tmp_path):
    """With no step that moves a weight, what comes out is the base; other weights there end a continuation."""
    start = {"start_from": str(trained), "sizes": {}, "learning_rate": 0.0, "steps": 2, "steps_per_epoch": 2}
    found, base = load_file(run(shards, tmp_path / "out", **start)), load_file(trained / "best.safetensors")
    assert found.keys() == base.keys()
    assert all(torch.allclose(found[k], base[k], atol=1e-6) for k in base)  # a mean of equal weights rounds
    card = load_vocoder(tmp_path / "out").card
    assert card["started_from"]["sha256"] == sha256_file(trained / "best.safetensors")
    assert card["sizes"]["layers"] == 4 and card["started_from"]["steps"] == load_vocoder(trained).card["steps"]
    heard = recording_list.read(tmp_path / "out" / "best.safetensors")
    assert heard == recording_list.read(trained / "best.safetensors") and card["recordings"] == {"speech": 8}
    with pytest.raises(ConfigError, match="holds another training"):
        run(shards, tmp_path / "out", **start | {"start_from": str(save_other(tmp_path, trained))})


def test_a_base_gets_a_source_whose_network_for_f0_stays_as_it_was_shipped(shards, trained, tmp_path):
    start = {"start_from": str(trained), "sizes": {"harmonics": 2}, "learning_rate": 1e-2}
    vocoder = load_vocoder(run(shards, tmp_path / "out", **start))
    source, shipped = vocoder.network.source, pitch.shipped(pitch.FEATURES)
    assert all(torch.allclose(x, shipped[name], atol=1e-6) for name, x in source.pitch.state_dict().items())
    assert source.output.weight.any() and vocoder.card["sizes"]["layers"] == 4
    earlier = recording_list.read(pitch.WEIGHTS).counts["speech"]
    assert vocoder.card["recordings"] == {"speech": 8 + earlier}
    spoken = generate(vocoder.network, [pitch.FEATURES(torch.as_tensor(tone(200))[None])[0]], [0])[0]
    assert spoken.shape == (16000,) and np.isfinite(spoken).all()
    with pytest.raises(ConfigError, match=r"features\.f_max_hz is 7000, .*harmonics was trained with 8000"):
        run(shards, tmp_path / "other", sizes=SIZES | {"harmonics": 2}, features={"f_max_hz": 7000})


def save_other(tmp_path, trained):
    shutil.copytree(trained, tmp_path / "other")
    state = load_file(trained / "best.safetensors")
    save_file(state | {"hidden.bias": state["hidden.bias"] + 1}, tmp_path / "other" / "best.safetensors")
    return tmp_path / "other"


def test_a_resumed_run_ends_with_the_same_weights(shards, tmp_path, monkeypatch):
    whole = load_file(run(shards, tmp_path / "whole"))
    step = VocoderModule.training_step

    def dies(self, batch, index):
        if self.global_step == 6:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(VocoderModule, "training_step", dies)
        run(shards, tmp_path / "cut")
    resumed = load_file(run(shards, tmp_path / "cut"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_folder_of_another_training_is_refused(shards, trained):
    with pytest.raises(ConfigError, match="holds another training"):
        run(shards, trained)


def test_bad_corpora_are_refused_with_the_numbers(shards, tmp_path):
    with pytest.raises(DataError, match=r"hold 0\.\d minutes to train on, fewer than 10; .* --force"):
        training.train(shards, tmp_path, config())
    with pytest.raises(DataError, match=r"samples, the features have 45 bands every 100; set sizes\.upsampling"):
        run(shards, tmp_path / "out", features={"hop_length": 100})
    with pytest.raises(DataError, match=r"takes frames of 45 bands, the features have 80; set sizes\.n_mels"):
        run(shards, tmp_path / "out", features={"n_mels": 80})
    with pytest.raises(ConfigError, match="layerz"):
        run(shards, tmp_path / "out", sizes={"layerz": 3})


def test_other_rates_and_speakers(tmp_path):
    shard = write_tones(LocalStore(tmp_path), "a.tar", [200] * 12, rate=24000)
    path = run(
        [shard], tmp_path / "out", speaker_conditioning=True, sizes=SIZES | {"upsampling": [5, 6, 10]},
        features={"sample_rate": 24000, "hop_length": 300, "win_length": 1200, "n_fft": 2048, "n_mels": 45},
    )  # fmt: skip
    vocoder = load_vocoder(path)
    assert vocoder.network.speaker.num_embeddings == 2 and vocoder.mel.f_max_hz == 12000
    assert vocoder.speakers == ("s0", "s1")


def test_shards_of_their_own_are_held_out(shards):
    """Nothing but the last shard watches the training, whatever share the settings name."""
    found = training._prepare(shards[:2], config(validation_share=0.9), shards[2:], force=True)
    assert (found.content.training_s, found.content.validation_s) == (16, 8)
    held = [clip.shard for shard in found.shards for clip in clips(shard) if not found.loaders[0].dataset.wanted(clip)]
    assert set(held) == {shards[2]} and len(found.loaders[1].dataset) == 4


def test_the_time_of_an_update_leaves_nothing_behind(shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = training.seconds_per_update(shards[:2], config(), validation=shards[2:], measured_s=0.05)
    assert 0 < found < 5 and not list(tmp_path.iterdir())
