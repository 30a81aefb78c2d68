"""The adversarial training step: two players, resumes, refusals."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader

from clean_corpus.enhancers import checkpoints, table
from clean_corpus.enhancers.domains.spectral import ForwardPass
from clean_corpus.enhancers.method import Method
from clean_corpus.enhancers.objectives import adversarial, losses
from clean_corpus.enhancers.objectives.adversarial import Adversary
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.training import train as training
from clean_corpus.enhancers.training.adversarial_steps import Adversarial
from clean_corpus.enhancers.training.mixing import MixConfig
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import ConfigError

ROWS = {name: row for name, row in table.ENHANCERS.items() if row.paper == "004"}
TINY = {"channels": (2, 2, 4), "kernel_size": 5}
WINDOW = 64


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_critic_learns_from_soft_speech_as_from_loud_speech():
    """Else layers with a slope of one are all but linear at the level of speech: a line cannot hear noise."""
    row = ROWS["wgan-glu"]
    row = replace(row, adversary=replace(row.adversary, critic=partial(row.adversary.critic, window=WINDOW)))
    module = Adversarial(row, row.schedule[-1], row.build(**TINY), training.TrainConfig(sizes=TINY))
    windows = torch.randn(3, 4, 1, WINDOW)
    terms = []
    for gain in (1.0, 1e-3):
        torch.manual_seed(1)
        terms.append(module.critic_terms(*(gain * windows)))
    loud, soft = terms
    assert loud.keys() == soft.keys() == {"critic", "gradient_penalty"} and loud["critic"] != 0
    for name, value in loud.items():
        assert soft[name].item() == pytest.approx(value.item(), rel=1e-4), name
    silent = module.critic_terms(*(0 * windows))
    assert all(torch.isfinite(value) for value in silent.values())


AWAY = torch.tensor([0.5, -0.5, 0.5, -0.5, 0, 0, 0, 0])


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(8))

    def forward(self, noisy):
        return noisy + self.shift


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, speech, noisy):
        return self.layers(torch.cat((speech, noisy), 1).flatten(1)).flatten()


class Points:
    """Signals of eight samples: the network's output is the estimate."""

    def forward(self, network, noisy, clean):
        return ForwardPass(self, network, noisy, clean, noisy.new_empty(0))

    def output(self, run):
        return run.network(run.noisy)


TOY = Method(
    Shift,
    Points(),
    lambda run: (run.output[:, None], run.clean[:, None]),
    {},
    "004",
    adversary=Adversary(
        Judge,
        lambda run: run.noisy[:, None],
        adversarial.wgan_d,
        adversarial.wgan_g,
        penalty=10.0,
        learning_rate=5e-3,
        critic_learning_rate=5e-2,
        betas=(0.5, 0.9),
    ),
)


class History(Callback):
    """What each step logged."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, module, *_):
        self.steps.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    def __getitem__(self, key):
        return np.array([step[f"train/{key}"] for step in self.steps])


def fit(module, pairs, *, batch_size, **limits):
    history = History()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[history], max_epochs=1, **limits,
    )  # fmt: skip
    trainer.fit(module, DataLoader(pairs, batch_size))
    return history


def adversarial_of(row, **settings):
    config = training.TrainConfig(**settings)
    return Adversarial(row, row.schedule[-1], row.build(**config.sizes), config)


def points(n):
    noisy = torch.randn(n, 8)
    return list(zip(noisy, noisy + AWAY, strict=True))


def test_the_critic_gap_of_a_toy_wgan_shrinks():
    """Clean is noisy moved by 1: a critic of slope 1 sees that gap, until the network has learnt the move."""
    module = adversarial_of(TOY)
    history = fit(module, points(64 * 250), batch_size=64)
    widest = history["critic_gap"].max()
    assert widest > 0.8
    assert np.abs(history["critic_gap"][-50:]).mean() < 0.4 * widest  # two players circle round the balance
    assert (module.network.shift.detach() - AWAY).norm().item() < 0.5
    assert history["gradient_norm"][-50:].mean() == pytest.approx(1, abs=0.1)


def test_the_network_learns_after_every_critic_steps_batches():
    module = adversarial_of(replace(TOY, adversary=replace(TOY.adversary, critic_steps=3)))
    fit(module, points(7), batch_size=1, limit_train_batches=2)
    assert module.global_step == 0 and not module.network.shift.any()
    fit(module, points(7), batch_size=1)
    assert module.global_step == 2 and module.network.shift.all()


def test_the_critic_counts_from_the_step_that_is_asked_for(monkeypatch):
    """It learns before that: the other loss of this toy moves the network nowhere."""
    module = adversarial_of(TOY, steps=6, losses_from={"adversarial": 0.5})
    module.losses = {"none": (lambda estimate, clean: (estimate - estimate.detach()).sum() * 0, 1.0)}
    moved, step = [], Adversarial.training_step

    def notes(self, batch, index):
        step(self, batch, index)
        moved.append(bool(self.network.shift.any()))

    monkeypatch.setattr(Adversarial, "training_step", notes)
    before = [p.clone() for p in module.critic.parameters()]
    fit(module, points(6), batch_size=1)
    assert moved == [False, False, False, True, True, True]
    assert not all(torch.equal(*both) for both in zip(before, module.critic.parameters(), strict=True))


@pytest.mark.parametrize("name", ROWS)
def test_three_steps_of_a_row_are_finite_and_move_both_players(name):
    module = adversarial_of(ROWS[name], sizes=TINY)
    before = {k: v.clone() for k, v in module.named_parameters()}
    history = fit(module, list(0.1 * torch.randn(6, 2, 20000)), batch_size=2)
    assert module.global_step == 3
    keys = {"critic", "critic_gap", "adversarial", "l1", "loss"}
    keys |= {"gradient_penalty", "gradient_norm"} if name != "segan" else set()
    assert all(step.keys() == {f"train/{key}" for key in keys} for step in history.steps)
    assert all(np.isfinite(list(step.values())).all() for step in history.steps)
    # a constant in both scores is no part of their gap
    idle = {"critic.mix.bias", "critic.score.bias"} if name != "segan" else set()
    still = {k for k, v in module.named_parameters() if torch.equal(before[k], v)}
    assert still == idle


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_pairs():
    module = adversarial_of(ROWS["wgan-glu"], sizes=TINY)
    before = {k: v.clone() for k, v in module.named_parameters()}
    with pytest.raises(FloatingPointError, match=r"step 0, pairs 0\.\.1 of seed 0, terms .*critic.*not updated"):
        fit(module, list(torch.full((2, 2, 16384), torch.nan)), batch_size=2)
    assert all(torch.equal(before[k], v) for k, v in module.named_parameters())


def test_half_precision_is_refused():
    with pytest.raises(ConfigError, match=r"'16-mixed'.*bf16-mixed"):
        adversarial_of(ROWS["segan"], sizes=TINY, precision="16-mixed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones as speech, pink noise as noise."""
    root, rng, time_s = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0), np.arange(24000) / 16000
    for i in range(3):
        for kind, wave in (
            ("speech", np.sin(2 * np.pi * 200 * (i + 1) * time_s)),
            ("noise", coloured_noise(rng, 24000, slope=1)),
        ):
            (root / kind).mkdir(exist_ok=True)
            encode.write_wav(root / kind / f"{i}.wav", (0.2 * wave).astype(np.float32), 16000)
    return root


def run(name, corpus, out, **settings):
    config = training.TrainConfig(
        steps=6, steps_per_epoch=2, batch_size=2, validation_pairs=2, workers=0, ema_decay=0.5, sizes=TINY,
        mix=MixConfig(seconds=1.024, rooms=2), **settings,
    )  # fmt: skip
    return training.train(name, [corpus / "speech"], [corpus / "noise"], out, config)


def test_a_resumed_run_ends_with_the_same_weights_of_both_players(corpus, tmp_path, monkeypatch):
    path = run("wgan-glu", corpus, tmp_path / "whole")

    class Killed(BaseException):
        pass

    step = Adversarial.training_step

    def dies(self, batch, index):
        if self.global_step == 3:
            raise Killed
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(Adversarial, "training_step", dies)
        run("wgan-glu", corpus, tmp_path / "cut")
    again = run("wgan-glu", corpus, tmp_path / "cut")
    assert path.read_bytes() == again.read_bytes()
    last = [torch.load(p.parent / "checkpoints" / "0-final" / "last.ckpt", weights_only=True) for p in (path, again)]
    assert any(key.startswith("critic.") for key in last[0]["state_dict"])
    for key, value in last[0]["state_dict"].items():
        assert torch.equal(value, last[1]["state_dict"][key]), key
    assert checkpoints.card(str(path))["steps"] in (2, 4, 6)
    assert not any(key.startswith("critic.") for key in load_file(path))


def test_a_network_may_learn_before_its_critic_does(corpus, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a critic was trained")

    with monkeypatch.context() as patch:
        patch.setattr(Adversarial, "training_step", refuse)
        weights = {"adversarial": 0.0, "waveform_error": 0.1}
        first = run("wgan-glu", corpus, tmp_path / "first", loss_weights=weights)
    after = run("wgan-glu", corpus, tmp_path / "after", start_from=str(first))
    key = "encoder.0.0.weight"
    assert 0 < (load_file(first)[key] - load_file(after)[key]).abs().max() < 0.01


def test_trained_weights_enhance_the_same_way_each_time(corpus, tmp_path):
    enhancer = load_enhancer(str(run("segan", corpus, tmp_path)))
    x, n = 0.1 * torch.randn(1, 20000), torch.tensor([20000])
    assert torch.equal(enhancer(x, n), enhancer(x, n)) and enhancer(x, n).shape == x.shape
    assert losses.neg_si_snr(enhancer(x, n), x).isfinite()
