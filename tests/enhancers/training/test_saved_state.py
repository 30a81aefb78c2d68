"""Unfinished trainings, saved and restored elsewhere: the same weights at the end, bit for bit."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from clean_corpus.enhancers.training import recipes
from clean_corpus.enhancers.training import train as training
from clean_corpus.enhancers.training.saved_state import restore_training, save_training
from clean_corpus.flows.cli.app import app
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import ConfigError, DataError

SETTINGS = {
    "steps": 6, "steps_per_epoch": 2, "batch_size": 2, "validation_pairs": 2, "warmup_steps": 2,
    "sizes": {"narrow": 4, "channels": 6, "blocks": 2, "across": 2, "along": 4},
    "precision": "32-true", "validation_share": 0.2,
    "mix": {"seconds": 0.5, "long_seconds": 0.75, "long_from": 0.5, "rooms": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones as speech, pink noise as noise."""
    root, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    (root / "speech").mkdir()
    (root / "noise" / "pink").mkdir(parents=True)
    time_s = np.arange(32000) / 16000
    for i in range(6):
        tone = np.sin(2 * np.pi * (200 + 100 * i) * time_s) * np.sin(2 * np.pi * 2 * time_s)
        encode.write_wav(root / "speech" / f"{i}.wav", (0.3 * tone).astype(np.float32), 16000)
        encode.write_wav(root / "noise" / "pink" / f"{i}.wav", 0.1 * coloured_noise(rng, 32000, slope=1), 16000)
    return root


def run(corpus, out, **settings):
    config = recipes.settings(recipes.load_recipe("lean"), SETTINGS, settings)
    return training.train("lean", [corpus / "speech"], [corpus / "noise"], out, config)


def killed_at(step_number, monkeypatch, train):
    """Train until a step begins, as if the process died there."""
    step = training.Supervised.training_step

    def dies(self, batch, index):
        if self.global_step == step_number:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(training.Supervised, "training_step", dies)
        train()


def test_a_training_that_moved_ends_with_the_same_weights(corpus, tmp_path, monkeypatch):
    """Saved at step 4 of 6 and restored in another folder, with recordings and weights to start from elsewhere."""
    begin = {"start_from": str(run(corpus, tmp_path / "before", steps=2))}
    whole = load_file(run(corpus, tmp_path / "whole", **begin))
    killed_at(5, monkeypatch, lambda: run(corpus, tmp_path / "cut", **begin))
    state = tmp_path / "state" / "lean.safetensors"
    assert save_training(tmp_path / "cut", state) == 4
    assert str(tmp_path) not in state.with_suffix(".json").read_text()

    assert restore_training(state, tmp_path / "moved") == 4
    shutil.copytree(corpus, tmp_path / "elsewhere")
    shutil.move(tmp_path / "before", tmp_path / "weights")
    begin = {"start_from": str(tmp_path / "weights" / "best.safetensors")}
    with pytest.raises(ConfigError, match="learning_rate"):
        run(tmp_path / "elsewhere", tmp_path / "moved", learning_rate=0.5, **begin)
    again = load_file(run(tmp_path / "elsewhere", tmp_path / "moved", **begin))
    assert whole.keys() == again.keys() and all(torch.equal(whole[k], again[k]) for k in whole)


def test_what_cannot_be_saved_or_restored_is_refused(corpus, tmp_path):
    with pytest.raises(DataError, match="no training lies there"):
        save_training(tmp_path, tmp_path / "x.safetensors")
    run(corpus, tmp_path / "best", keep="best", steps=2)
    with pytest.raises(ConfigError, match="keeps the best weights of 1 stages"):
        save_training(tmp_path / "best", tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="no such state"):
        restore_training(tmp_path / "x.safetensors", tmp_path / "new")
    for name in ("state.json", "state", "lean-1.5"):  # the tensors' file would be the .json, or another state's
        with pytest.raises(
            ConfigError, match=rf"{name}: the state of a training is NAME\.safetensors, with NAME\.json"
        ):
            save_training(tmp_path / "best", tmp_path / name)
    assert not list(tmp_path.glob("*.json"))


def test_a_damaged_state_is_refused_by_name_and_leaves_no_folder(corpus, tmp_path):
    run(corpus, tmp_path / "run", steps=2)
    state = tmp_path / "lean.safetensors"
    save_training(tmp_path / "run", state)
    data, about = state.read_bytes(), state.with_suffix(".json")
    state.write_bytes(data[:5000])
    with pytest.raises(ConfigError, match=r"lean\.safetensors: 5000 bytes that are no whole"):
        restore_training(state, tmp_path / "new")
    state.write_bytes(data)
    for text, expected in ((about.read_text()[:-9], "is damaged"), ('{"name": "lean"}', "no card of a saved training")):
        about.write_text(text)
        with pytest.raises(ConfigError, match=rf"lean\.json: .*{expected}"):
            restore_training(state, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_commands_save_and_restore(corpus, tmp_path):
    run(corpus, tmp_path / "run", steps=2)
    state = str(tmp_path / "lean.safetensors")
    printed = CliRunner().invoke(app, ["save-training", str(tmp_path / "run"), state]).stdout
    assert printed.startswith("step 2: ")
    assert CliRunner().invoke(app, ["restore-training", state, str(tmp_path / "new")]).stdout.startswith("step 2: ")
    assert (tmp_path / "new" / "checkpoints" / "0-final" / "last.ckpt").exists()
    refused = CliRunner().invoke(app, ["restore-training", state, str(tmp_path / "new")]).exception
    assert isinstance(refused, ConfigError) and "holds a training" in str(refused)
