"""SEGAN and WGAN: generator, critic, windows, adversarial losses and their training."""

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
from clean_corpus.enhancers.domains.windows import WaveformWindows
from clean_corpus.enhancers.method import Method
from clean_corpus.enhancers.models.critic import Critic
from clean_corpus.enhancers.models.segan import SEGAN
from clean_corpus.enhancers.objectives import adversarial, losses
from clean_corpus.enhancers.objectives.adversarial import Adversary, gradient_norm, gradient_penalty, noisy_windows
from clean_corpus.enhancers.objectives.losses import waveform_error
from clean_corpus.enhancers.objectives.targets import clean_windows
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


def count(network):
    return sum(p.numel() for p in network.parameters())


def tiny(name):
    """A small network and its critic, both over windows of 64 samples."""
    row = ROWS[name]
    return row.build(**TINY), row.adversary.critic(window=WINDOW, **TINY)


@pytest.mark.parametrize(
    ("name", "generator", "critic"),
    [("segan", 73_100_049, 24_373_082), ("wgan-glu", 146_191_105, 48_735_082), ("wgan-prelu", 73_100_049, 24_370_570)],
)
def test_parameter_counts_are_those_of_the_specification(name, generator, critic):
    with torch.device("meta"):
        assert (count(ROWS[name].build()), count(ROWS[name].adversary.critic())) == (generator, critic)


def test_shapes_are_those_of_the_paper():
    with torch.device("meta"):
        network, critic, noisy = SEGAN(activation="glu"), Critic(activation="glu"), torch.zeros(2, 1, 16384)
        assert network.latent_shape(16384) == (1024, 8)
        output = network(noisy, torch.zeros(2, 1024, 8))
        assert output.shape == noisy.shape and critic(output, noisy).shape == (2,)


@pytest.mark.parametrize("name", ROWS)
def test_every_parameter_learns(name):
    network, critic = tiny(name)
    noisy, latent = torch.randn(3, 1, WINDOW), torch.randn(3, *network.latent_shape(WINDOW))
    critic(network(noisy, latent), noisy).square().sum().backward()
    # a bias before BatchNorm is taken out again by it
    idle = {f"layers.{i}.0.bias" for i in range(len(TINY["channels"]))} if name == "segan" else set()
    for part in (network, critic):
        for key, parameter in part.named_parameters():
            assert parameter.grad is not None and (key in idle or parameter.grad.abs().sum() > 0), key


@pytest.mark.parametrize("activation", ["glu", "prelu"])
def test_a_fresh_critic_has_a_slope_near_one_at_any_width(activation):
    """Eleven layers of fixed-size weights would leave it at 1e-9, which Adam does not see."""
    narrow = (2, 2, 2, 4, 4, 8, 8, 16, 16, 32, 64)
    critic, x = Critic(activation=activation, channels=narrow), 0.1 * torch.randn(4, 1, 16384)
    assert 0.1 < gradient_norm(critic, x, x, x, torch.zeros(4, 1, 1)).mean().item() < 10


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


@pytest.mark.parametrize("peak", [5.0, 100.0])
def test_gradients_of_a_fresh_gated_network_are_of_the_order_of_its_error(peak):
    """Peaks of speech would open gates as strong as the other filters, each layer double the one before."""
    network = SEGAN(activation="glu", channels=(4, 8, 8, 16, 16, 32, 32, 64, 64, 64, 64), residual=True)
    nn.init.normal_(network.last.weight, std=0.1)
    noisy, latent = torch.randn(2, 1, 16384), torch.randn(2, 64, 8)
    noisy[:, :, 5000:5100] *= peak
    network(noisy, latent).square().mean().backward()
    assert 1e-3 < sum(p.grad.square().sum() for p in network.parameters()) ** 0.5 < 100


def test_a_residual_network_begins_with_what_it_was_given_and_learns_what_to_take_away():
    """Its critic has the same sizes but for what only the network knows."""
    sizes, row = TINY | {"residual": True}, ROWS["wgan-glu"]
    module = Adversarial(row, row.schedule[-1], row.build(**sizes), training.TrainConfig(sizes=sizes))
    assert count(module.critic) == count(row.adversary.critic(**TINY))
    noisy, latent = torch.randn(2, 1, WINDOW), torch.randn(2, *module.network.latent_shape(WINDOW))
    estimate = module.network(noisy, latent)
    assert torch.equal(estimate, noisy)
    estimate.square().sum().backward()
    assert module.network.last.weight.grad.abs().sum() > 0


def test_a_residual_network_does_the_same_at_every_level():
    network = ROWS["wgan-glu"].build(**TINY, residual=True)
    nn.init.normal_(network.last.weight)
    noisy, latent = torch.randn(3, 1, WINDOW), torch.randn(3, *network.latent_shape(WINDOW))
    levels = torch.tensor([1.0, 1e-2, 0.0]).reshape(3, 1, 1)
    loud, soft, silent = network(noisy[:1], latent[:1]), *network(levels * noisy[0], latent[:1].repeat(3, 1, 1))[1:]
    assert not torch.equal(loud, noisy[:1])
    assert torch.allclose(soft, 1e-2 * loud[0], rtol=1e-4)
    assert silent.abs().max() < 1e-4


def test_every_layer_of_a_residual_network_stays_awake_whatever_its_weights_grow_to():
    network = ROWS["wgan-glu"].build(channels=(4, 8, 8, 16, 16, 32, 32), residual=True)
    layers, levels = [*network.encoder, *network.decoder], []
    for layer in layers:
        with torch.no_grad():
            layer[0].weight.mul_(10)
        layer.register_forward_hook(lambda _, __, found: levels.append(found.square().mean().sqrt().item()))
    noisy = torch.randn(2, 1, 16384)
    noisy[:, :, 5000:5100] *= 10
    network(noisy, torch.rand(2, *network.latent_shape(16384)))
    assert len(levels) == len(layers) == 13 and 0.2 < min(levels) < max(levels) < 2, levels


def test_the_error_of_a_waveform_is_heard_without_emphasis():
    domain, clean = WaveformWindows(), 0.1 * torch.randn(1, 16384)
    for hz, drop in ((50, 25.9), (7900, -5.8)):  # |1 - 0.95 e^-jw| in dB
        tone = 0.01 * np.sqrt(2) * torch.sin(2 * torch.pi * hz * torch.arange(16384.0) / 16000)[None]
        estimate, reference = domain.cut(clean + tone), domain.cut(clean)
        assert waveform_error(estimate, reference).item() == pytest.approx(-19.9, abs=0.2)
        emphasised = (estimate - reference)[..., 1:].square().mean() / tone.square().mean()
        assert 10 * emphasised.log10().item() == pytest.approx(-drop, abs=0.5)


def test_wrong_shapes_are_refused_with_both_values():
    network, critic = tiny("segan")
    with pytest.raises(ValueError, match=r"noisy \(1, 1, 60\): expected \(B, 1, N\), N a multiple of 8"):
        network(torch.zeros(1, 1, 60), torch.zeros(1, 4, 7))
    with pytest.raises(ValueError, match=r"latent \(1, 4, 7\): noisy \(1, 1, 64\) needs \(1, 4, 8\)"):
        network(torch.zeros(1, 1, 64), torch.zeros(1, 4, 7))
    with pytest.raises(ValueError, match=r"noisy \(2, 1, 32\): expected \(B, 1, 64\)"):
        critic(torch.zeros(2, 1, 64), torch.zeros(2, 1, 32))
    with pytest.raises(ValueError, match="kernel_size 4 is even"):
        SEGAN(kernel_size=4)
    with pytest.raises(ValueError, match="window of 60 samples does not halve 3 times"):
        Critic(channels=(2, 2, 4), window=60)
    with pytest.raises(ValueError, match="pair of 63 samples is shorter than a window of 64"):
        WaveformWindows(window=WINDOW).forward(network, torch.zeros(1, 63), torch.zeros(1, 63))


class Echo(nn.Module):
    """Gives its windows back, and keeps the latents that came with them."""

    def latent_shape(self, n_samples):
        return 1, 2

    def forward(self, noisy, latent):
        self.latent = latent
        return noisy


@pytest.mark.parametrize("n_samples", [1, 64, 65, 128])
def test_emphasis_and_windows_are_undone_at_every_length(n_samples):
    x = 2 * torch.randn(3, n_samples)  # beyond full scale: nothing clips
    result = WaveformWindows(window=WINDOW).enhance(Echo(), x, torch.full((3,), n_samples))
    assert torch.allclose(result, x, atol=1e-5)  # float32 round-off of a recursion


def test_training_in_half_the_bits_joins_windows_in_all_of_them():
    """What is validated in bf16-mixed, the precision on a GPU."""
    x = torch.randn(2, 2 * WINDOW)
    with torch.autocast("cpu", torch.bfloat16):
        run = WaveformWindows(window=WINDOW).forward(Echo(), x, x)
        assert torch.allclose(run.estimate, x, atol=1e-5)


def test_windows_are_cut_from_the_emphasised_signal():
    ramp = torch.arange(6.0)[None]
    windows = WaveformWindows(window=4, emphasis=0.5).cut(ramp)
    assert windows.tolist() == [[[0, 1, 1.5, 2]], [[2.5, 3, -2.5, 0]]]


def test_training_uses_whole_windows_and_compares_them_emphasised():
    domain, (noisy, clean) = WaveformWindows(window=WINDOW), torch.randn(2, 3, 150)
    run = domain.forward(Echo(), noisy, clean)
    assert run.noisy.shape == run.clean.shape == run.estimate.shape == (3, 128)
    estimate, reference = clean_windows(run)
    assert torch.equal(estimate, domain.cut(noisy[:, :128])) and torch.equal(reference, domain.cut(clean[:, :128]))
    assert torch.equal(noisy_windows(run), estimate)


@pytest.mark.parametrize(("latent", "largest"), [("uniform", (0.9, 1.0)), ("normal", (2.0, 6.0))])
def test_latents_are_random_in_training_and_fixed_per_window_in_use(latent, largest):
    domain, network, x = WaveformWindows(latent, window=WINDOW), Echo(), torch.zeros(30, 2 * WINDOW)
    domain.run(network.train(), x)
    first = network.latent
    domain.run(network, x)
    assert first.shape == (60, 1, 2) and not torch.equal(first, network.latent)
    assert largest[0] < float(first.abs().max()) <= largest[1] and abs(float(first.mean())) < 0.3
    domain.enhance(network.eval(), x, torch.full((30,), 2 * WINDOW))
    batch = network.latent.unflatten(0, (30, 2))
    assert torch.equal(batch, batch[:1].expand_as(batch)) and not torch.equal(batch[0, 0], batch[0, 1])
    domain.enhance(network, x[:1, :1], torch.tensor([1]))
    assert torch.equal(network.latent[0], batch[0, 0])


@pytest.mark.parametrize("name", ROWS)
def test_padding_and_neighbours_do_not_change_a_result(name):
    network, domain = tiny(name)[0].eval(), replace(ROWS[name].domain, window=WINDOW)
    batch, lengths = torch.randn(3, 300), torch.tensor([300, 130, 64])
    batch *= torch.arange(300) < lengths[:, None]
    with torch.inference_mode():
        together = domain.enhance(network, batch, lengths)
        for row, result, n in zip(batch, together, lengths, strict=True):
            alone = domain.enhance(network, row[None, :n], n[None])[0]
            assert torch.equal(alone, domain.enhance(network, row[None, :n], n[None])[0])
            assert torch.allclose(result[:n], alone, atol=1e-6)  # other batch size, other order of float32 sums


def test_a_window_looks_ahead_within_itself_and_not_into_others():
    network, domain = tiny("wgan-glu")[0].eval(), WaveformWindows(window=WINDOW)
    x, changed = torch.randn(2, 1, 3 * WINDOW).unbind()
    changed = torch.where(torch.arange(3 * WINDOW) < 2 * WINDOW - 1, x, changed)
    with torch.inference_mode():
        before, after = domain.run(network, x), domain.run(network, changed)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1, :, : WINDOW - 1], after[1, :, : WINDOW - 1])  # not causal


def test_adversarial_losses_know_their_answers():
    estimate, clean = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 4.0])
    assert adversarial.lsgan_d(estimate, clean).item() == 0.5 * (0 + 9) / 2 + 0.5 * (0 + 4) / 2
    assert adversarial.lsgan_g(estimate).item() == 0.5
    assert adversarial.wgan_d(estimate, clean).item() == 1.0 - 2.5
    assert adversarial.wgan_g(estimate).item() == -1.0
    assert adversarial.l1(estimate, clean).item() == 1.5


def test_gradient_penalty_of_a_critic_with_known_slopes():
    """The score <u, noisy> has the slope |noisy| in the speech, 5 and 1 here; its slope in the noisy is not asked."""
    noisy = torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])
    weight = torch.ones((), requires_grad=True)
    estimate, clean, mix = torch.randn(2, 1, 2), torch.randn(2, 1, 2), torch.rand(2, 1, 1)
    norm = gradient_norm(lambda u, n: (weight * u * n).sum((1, 2)), estimate, clean, noisy, mix)
    assert norm.tolist() == [5.0, 1.0] and gradient_penalty(norm).item() == 8.0
    gradient_penalty(norm).backward()
    assert weight.grad.item() == 20.0  # d/dw of ((5 w - 1)^2 + (w - 1)^2) / 2 at w = 1


def test_gradient_penalty_is_taken_between_clean_and_estimate():
    estimate, clean = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 8.0)
    norm = gradient_norm(lambda u, n: 0.5 * u.square().sum((1, 2)), estimate, clean, clean, torch.full((1, 1, 1), 0.25))
    assert norm.item() == 2.0  # u = 8 / 4, and the slope of u^2 / 2 is u


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
