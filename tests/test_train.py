"""Training: it learns, it resumes as if it had not stopped, and it stops before a loss that is not finite."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import enhancers
from enhancers import train as training
from enhancers.mixing import MixConfig, Recording
from pipeline import audio
from pipeline.synthetic import coloured_noise

SILENCE = np.zeros(10, np.int16)
SIZES = {"channels": (4, 4, 4, 4, 8)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones as speech, pink noise as noise: quick to tell apart."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    (root / "speech").mkdir()
    (root / "noise" / "pink").mkdir(parents=True)
    time_s = np.arange(32000) / 16000
    for i in range(6):
        tone = np.sin(2 * np.pi * (200 + 100 * i) * time_s) * np.sin(2 * np.pi * 2 * time_s)
        audio.write_wav(root / "speech" / f"{i}.wav", (0.3 * tone).astype(np.float32), 16000)
        audio.write_wav(root / "noise" / "pink" / f"{i}.wav", 0.1 * coloured_noise(rng, 32000, slope=1), 16000)
    return root


def config(**settings):
    base = {
        "steps": 12, "steps_per_epoch": 4, "batch_size": 2, "validation_pairs": 2, "warmup_steps": 2, "workers": 0,
        "ema_decay": 0.5, "sizes": SIZES, "mix": MixConfig(seconds=0.5, rooms=2, snr_db=(0, 10)),
    }  # fmt: skip
    return training.TrainConfig(**(base | settings))


def run(corpus, out, **settings):
    return training.train("cgcrn-complex", [corpus / "speech"], [corpus / "noise"], out, config(**settings))


def test_training_lowers_the_loss_and_leaves_usable_weights(corpus, tmp_path):
    path = run(corpus, tmp_path, steps=60, steps_per_epoch=20, learning_rate=5e-3)
    card = enhancers.card(str(path))
    untrained = run(corpus, tmp_path / "untrained", steps=1, steps_per_epoch=1, learning_rate=1e-9)
    assert card["validation_si_sdr_db"] > enhancers.card(str(untrained))["validation_si_sdr_db"] + 3
    x = torch.randn(1, 8000)
    assert enhancers.load(str(path))(x, torch.tensor([8000])).shape == x.shape


def test_a_resumed_run_ends_with_the_same_weights(corpus, tmp_path, monkeypatch):
    whole = load_file(run(corpus, tmp_path / "whole"))

    class Killed(BaseException):
        pass

    step = training.Supervised.training_step

    def dies(self, batch, index):
        if self.global_step == 6:
            raise Killed
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(training.Supervised, "training_step", dies)
        run(corpus, tmp_path / "cut")
    assert (tmp_path / "cut" / "checkpoints" / "0-final" / "last.ckpt").exists()
    resumed = load_file(run(corpus, tmp_path / "cut"))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_pairs(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Mixtures, "__getitem__", lambda self, i: (np.full(8000, np.nan, np.float32),) * 2)
    monkeypatch.setattr(training.Supervised, "validation_step", lambda self, batch, index: None)
    with pytest.raises(FloatingPointError, match=r"step 0, pairs 0\.\.1 of seed 0"):
        run(corpus, tmp_path)


def test_sessions_stay_whole_when_recordings_are_held_out():
    names = [f"{chapter}-{i}" for chapter in "abcdefghij" for i in range(4)]
    single = [f"voice_{i}" for i in range(10)]
    groups = {"many": [Recording(n, SILENCE) for n in names], "one": [Recording(n, SILENCE) for n in single]}
    kept, held = training._hold_out(groups, 0.2, seed=0)
    assert {k: len(v) for k, v in held.items()} == {"many": 8, "one": 2}
    for folder in groups:
        assert not {r.session for r in kept[folder]} & {r.session for r in held[folder]}
        assert {r.name for r in kept[folder]} | {r.name for r in held[folder]} == {r.name for r in groups[folder]}
    kept, held = training._hold_out({"one": [Recording(f"voice-{i}", SILENCE) for i in range(10)]}, 0.2, seed=0)
    assert (len(kept["one"]), len(held["one"])) == (8, 2)


def test_training_starts_from_given_weights(corpus, tmp_path):
    first = run(corpus, tmp_path / "first", steps=4)
    again = run(corpus, tmp_path / "again", steps=1, steps_per_epoch=1, learning_rate=1e-9, start_from=str(first))
    before, after = load_file(first), load_file(again)
    learnt = [k for k in before if "num_batches" not in k and "running" not in k]
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in learnt)
