"""Waveform windows: emphasis, cutting, latents."""

import pytest
import torch
from torch import nn

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains.windows import WaveformWindows
from clean_corpus.enhancers.objectives.adversarial import noisy_windows
from clean_corpus.enhancers.objectives.targets import clean_windows

ROWS = {name: row for name, row in table.ENHANCERS.items() if row.paper == "004"}
TINY = {"channels": (2, 2, 4), "kernel_size": 5}
WINDOW = 64


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def tiny(name):
    """A small network and its critic, both over windows of 64 samples."""
    row = ROWS[name]
    return row.build(**TINY), row.adversary.critic(window=WINDOW, **TINY)


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


def test_a_window_looks_ahead_within_itself_and_not_into_others():
    network, domain = tiny("wgan-glu")[0].eval(), WaveformWindows(window=WINDOW)
    x, changed = torch.randn(2, 1, 3 * WINDOW).unbind()
    changed = torch.where(torch.arange(3 * WINDOW) < 2 * WINDOW - 1, x, changed)
    with torch.inference_mode():
        before, after = domain.run(network, x), domain.run(network, changed)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1, :, : WINDOW - 1], after[1, :, : WINDOW - 1])  # not causal
