"""The lean network: its size, what it hears, silence, and sign and level of what its losses want."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from enhancers import losses, recipes
from enhancers import train as training
from enhancers.catalogue import describe
from enhancers.domains import Stft, rms_level
from enhancers.in_training import restore_training, save_training
from enhancers.models.lean_crn import LINEAR_BINS, LeanCRN, erb_bands
from enhancers.streaming import Stream
from enhancers.table import Enhancer, method
from flows.cli import app
from pipeline import audio
from pipeline.errors import ConfigError, DataError
from pipeline.synthetic import coloured_noise

TINY = {"narrow": 4, "channels": 6, "blocks": 2, "across": 2, "along": 4}


def network(**sizes):
    """With weights that do something: BatchNorm has seen a signal, and the filter differs from bin to bin."""
    torch.manual_seed(0)
    net = LeanCRN(**(TINY | sizes))
    torch.nn.init.normal_(net.filter.weight, std=0.3)
    for _ in range(20):
        net(spectrum(torch.randn(4, 8000)))
    return net.eval()


def spectrum(x):
    domain = method("lean").domain
    return domain.features(domain.stft(x))


@pytest.mark.parametrize(("name", "parameters", "mmac"), [("lean", 309_390, 237.1), ("lean-causal", 302_478, 222.8)])
def test_its_size_and_work(name, parameters, mmac):
    about = describe(name)
    assert about["parameters"] == parameters and about["fma_per_s"] / 1e6 == pytest.approx(mmac, abs=0.1)
    assert 4 * 4 * parameters < 10e6  # what continues a training: weights, their mean, two moments, 4 bytes each
    assert about["causal"] == (name == "lean-causal")


@pytest.mark.parametrize("causal", [False, True])
def test_a_spectrum_comes_out_as_it_went_in(causal):
    x = spectrum(torch.randn(2, 5000))
    assert network(causal=causal)(x).shape == x.shape
    with pytest.raises(ValueError, match="expected"):
        network(causal=causal)(x[..., 1:])


@torch.inference_mode()
def test_at_first_the_signal_passes_nearly_as_it_is():
    net, x = LeanCRN().eval(), torch.randn(1, 8000)
    y = method("lean").domain.enhance(net, x, torch.tensor([8000]))
    assert (y * x).sum() / (x * x).sum() > 0.7


@torch.inference_mode()
def test_causal_the_future_changes_nothing_of_the_past():
    net = network(causal=True)
    x = spectrum(torch.randn(1, 8000))
    changed = x.clone()
    changed[:, :, 20:] = 3 * torch.randn_like(changed[:, :, 20:])
    differs = (net(changed) != net(x)).flatten(3).any(3).any(1)[0]
    assert not differs[:20].any() and differs[20]


@torch.inference_mode()
def test_with_look_ahead_the_end_is_heard_at_the_beginning():
    net = network()
    x = spectrum(torch.randn(1, 8000))
    changed = x.clone()
    changed[:, :, -1, 100] += 1
    assert (net(changed) != net(x))[0, :, 0].any()


@torch.inference_mode()
def test_padding_changes_nothing():
    net, domain = network(), method("lean").domain
    noisy, lengths = torch.randn(2, 5000), torch.tensor([5000, 3000])
    noisy[1, 3000:] = 0
    together = domain.enhance(net, noisy, lengths)
    alone = domain.enhance(net, noisy[1:, :3000], lengths[1:])
    assert torch.allclose(together[1, :3000], alone[0], atol=1e-5)


@torch.inference_mode()
def test_hop_by_hop_is_as_a_whole():
    net, row = network(causal=True), method("lean-causal")
    x, lengths = torch.randn(1, 8000), torch.tensor([8000])
    whole = row.domain.enhance(net, x, lengths)
    assert torch.allclose(Stream(net, row.domain).run(x, rms_level(x, lengths)), whole, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_silence_stays_silence(causal):
    enhancer = Enhancer(method("lean-causal" if causal else "lean"), network(causal=causal), name="x", sha256="")
    assert not enhancer(torch.zeros(1, 8000), torch.tensor([8000])).any()


def test_every_parameter_gets_a_gradient():
    net = network().train()
    net(spectrum(torch.randn(2, 8000))).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_bands_are_bins_below_2_khz_and_cover_all_above():
    weights = erb_bands(257, 129)
    assert weights.shape == (65, 257 - LINEAR_BINS) and (weights.sum(0) > 0).all() and (weights >= 0).all()
    peaks = weights.argmax(1)
    assert (peaks.diff() > 0).all() and peaks[0] == 0 and peaks[-1] == 192


def test_inverted_results_and_wrong_levels_are_punished():
    """By the loss of the row as a whole: less than nothing at all for the inverted one, and more for half the level."""
    torch.manual_seed(0)
    clean = torch.randn(1, 16000) * torch.linspace(0, 1, 16000)
    row = method("lean")

    def total(estimate):
        return float(sum(weight * loss(estimate, clean) for loss, weight in row.losses.values()))

    assert total(clean) < total(0.5 * clean) < total(-clean) and total(0 * clean) < total(-clean)
    assert losses.neg_threshold_snr(-clean, clean) > 6 > losses.neg_si_snr(-clean, clean)


def test_compressed_spectra_are_zero_for_equals_and_hear_the_phase():
    x = torch.randn(1, 8000)
    assert losses.compressed_spectra(x, x) == 0
    assert losses.compressed_spectra(-x, x) > 0.1


def test_the_root_of_a_hann_window_adds_up():
    stft = Stft(512, 256, "sqrt_hann")
    assert torch.allclose(stft.window_of(torch.zeros(1)).square().view(2, 256).sum(0), torch.ones(256), atol=1e-6)


SETTINGS = {
    "steps": 6, "steps_per_epoch": 2, "batch_size": 2, "validation_pairs": 2, "warmup_steps": 2, "sizes": TINY,
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
        audio.write_wav(root / "speech" / f"{i}.wav", (0.3 * tone).astype(np.float32), 16000)
        audio.write_wav(root / "noise" / "pink" / f"{i}.wav", 0.1 * coloured_noise(rng, 32000, slope=1), 16000)
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
    """Saved on its way at step 4 of 6, put into another folder, with the recordings in another place: bit for bit."""
    whole = load_file(run(corpus, tmp_path / "whole"))
    killed_at(5, monkeypatch, lambda: run(corpus, tmp_path / "cut"))
    state = tmp_path / "state" / "lean.safetensors"
    assert save_training(tmp_path / "cut", state) == 4
    assert str(tmp_path) not in state.with_suffix(".json").read_text()

    assert restore_training(state, tmp_path / "moved") == 4
    shutil.copytree(corpus, tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="learning_rate"):
        run(tmp_path / "elsewhere", tmp_path / "moved", learning_rate=0.5)
    again = load_file(run(tmp_path / "elsewhere", tmp_path / "moved"))
    assert whole.keys() == again.keys() and all(torch.equal(whole[k], again[k]) for k in whole)


def test_what_cannot_be_saved_or_restored_is_refused(corpus, tmp_path):
    with pytest.raises(DataError, match="no training lies there"):
        save_training(tmp_path, tmp_path / "x.safetensors")
    run(corpus, tmp_path / "best", keep="best", steps=2)
    with pytest.raises(ConfigError, match="keeps the best weights of 1 stages"):
        save_training(tmp_path / "best", tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="no such state"):
        restore_training(tmp_path / "x.safetensors", tmp_path / "new")


def test_a_loss_counts_from_its_share_of_the_steps_on(corpus, tmp_path, monkeypatch):
    heard, terms = {}, training.Supervised.terms

    def notes(self, *pair):
        found = terms(self, *pair)
        if self.training:
            heard[self.global_step] = sorted(found), pair[0].shape[1]
        return found

    monkeypatch.setattr(training.Supervised, "terms", notes)
    run(corpus, tmp_path, losses_from={"pesq_disturbance": 0.6})
    assert ["pesq_disturbance" in heard[step][0] for step in range(6)] == [False] * 4 + [True] * 2
    assert [heard[step][1] for step in range(6)] == [8000] * 3 + [12000] * 3  # long pairs from half of the steps on


def test_its_recipe_is_one_long_schedule_that_hears_pesq_late():
    recipe = recipes.load_recipe("lean")
    config = recipes.settings(recipe)
    assert recipe.rows == ("lean", "lean-causal") and recipes.default_recipe("lean-causal") == "lean"
    assert (config.lr_schedule, config.keep, config.validation_by, config.workers) == ("cosine", "last", "name", 0)
    assert config.losses_from.keys() == {"pesq_disturbance"} and config.losses_from["pesq_disturbance"] > 0.66
    assert config.steps % config.steps_per_epoch == 0 and config.mix.long_seconds == 2 * config.mix.seconds


def test_the_commands_save_and_restore(corpus, tmp_path):
    run(corpus, tmp_path / "run", steps=2)
    state = str(tmp_path / "lean.safetensors")
    said = CliRunner().invoke(app, ["save-training", str(tmp_path / "run"), state]).stdout
    assert said.startswith("step 2: ")
    assert CliRunner().invoke(app, ["restore-training", state, str(tmp_path / "new")]).stdout.startswith("step 2: ")
    assert (tmp_path / "new" / "checkpoints" / "0-final" / "last.ckpt").exists()
