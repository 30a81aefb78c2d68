"""Sign and level of a network's output: measured, corrected where its losses leave them open, and left elsewhere."""

import numpy as np
import pytest
import torch
from torch import nn

from clean_corpus.enhancers.domains.spectral import MagnitudeMask, Stft
from clean_corpus.enhancers.method import Stage
from clean_corpus.enhancers.objectives import losses
from clean_corpus.enhancers.objectives.perceptual import pesq_disturbance
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.enhancers.training.alignment import BLIND, card_entries, least_squares

DOMAIN = MagnitudeMask(Stft(320, 160))


class Scaled(nn.Module):
    """A network whose mask is the same number everywhere."""

    def __init__(self, mask):
        super().__init__()
        self.mask = nn.Parameter(torch.tensor(mask))

    def forward(self, features):
        return self.mask.expand_as(features)


def stage(**terms):
    return Stage("final", lambda run: (run.estimate, run.clean), terms)


@pytest.fixture(scope="module")
def pairs():
    """The second ten times as loud: it counts as much."""
    clean = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.01], [0.1], [0.01]])
    return [(x.numpy(), x.numpy()) for x in clean]


def test_a_network_that_gives_speech_upside_down_and_half_as_loud_is_turned_and_doubled(pairs):
    gain, correlation = least_squares(Scaled(-0.5), DOMAIN, pairs)
    assert gain == pytest.approx(-2, abs=1e-4) and correlation == pytest.approx(-1, abs=1e-4)
    entries = card_entries(Scaled(-0.5), DOMAIN, stage(neg_si_snr=(losses.neg_si_snr, 1.0)), {}, pairs)
    assert entries["output_gain"] == pytest.approx(-2, abs=1e-4) and entries["output_correlation"] > 0.999
    assert entries["output"].startswith("neg_si_snr leave sign and level open: ")


def test_every_pair_counts_alike(pairs):
    """Clean speech of half the noisy one's level in the loud pair alone: the mean of 1, 0.5 and 1 times the output."""
    quiet, (noisy, clean), other = pairs
    clean = np.float32(0.5) * clean
    gain, _ = least_squares(Scaled(1.0), DOMAIN, [quiet, (noisy, clean), other])
    assert gain == pytest.approx((1 + 2 + 1) / (1 + 4 + 1), abs=1e-4)  # least squares with clean speech at 1


def test_a_silent_network_keeps_its_level(pairs):
    assert least_squares(Scaled(0.0), DOMAIN, pairs) == (1.0, 0.0)


def test_where_a_loss_depends_on_sign_and_level_they_are_as_learnt(pairs):
    both = stage(neg_si_snr=(losses.neg_si_snr, 1.0), compressed_spectrum=(losses.compressed_spectrum, 1.0))
    entries = card_entries(Scaled(-0.5), DOMAIN, both, {}, pairs)
    assert entries == {"output_correlation": -1.0}
    assert "output_gain" in card_entries(Scaled(-0.5), DOMAIN, both, {"compressed_spectrum": 0.0}, pairs)


def test_losses_called_blind_are_and_the_others_of_waveforms_are_not():
    reference, noise = torch.randn(2, 1, 8000, generator=torch.Generator().manual_seed(0))
    estimate = reference + 0.1 * noise
    used = {loss for row in ENHANCERS.values() for loss, _ in row.losses.values()}
    assert set(BLIND) == {losses.neg_si_snr, pesq_disturbance} <= used
    for loss in used & {*BLIND, losses.compressed_spectrum, losses.compressed_spectra, losses.neg_threshold_snr}:
        changed = loss(-2 * estimate, reference).item()
        assert (changed == pytest.approx(loss(estimate, reference).item(), rel=1e-4)) == (loss in BLIND), loss
