"""Losses of known signals."""

import numpy as np
import pytest
import torch

from clean_corpus.enhancers.domains.dccrn import (
    LogPowerMask,
)
from clean_corpus.enhancers.domains.windows import WaveformWindows
from clean_corpus.enhancers.objectives import losses
from clean_corpus.enhancers.objectives.losses import waveform_error, weighted_distortion
from clean_corpus.enhancers.objectives.targets import speech_and_noise
from clean_corpus.enhancers.table import method


def test_losses_know_their_answers():
    x = torch.randn(2, 8000)
    assert losses.mse(x, x).item() == 0
    assert losses.compressed_spectrum(x, x).item() < 1e-6
    noise = torch.randn(2, 8000)
    noise -= (noise * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x  # orthogonal
    noise *= x.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True) / 10
    assert losses.neg_si_snr(3 * (x + noise), x).item() == pytest.approx(-20, abs=1e-3)
    assert losses.compressed_spectrum(x + noise, x) > losses.compressed_spectrum(x + noise / 2, x)


def test_speech_and_noise_pay_their_own_weights():
    domain = LogPowerMask(method("nsnet").domain.stft, "as_is")

    def gain(value):
        return lambda features: torch.full_like(features, value)

    clean, noise = torch.randn(2, 2000), torch.randn(2, 2000)
    speech_power, noise_power = (domain.stft(x).abs().square().mean().item() for x in (clean, noise))
    for value, expected in ((1.0, 0.65 * noise_power), (0.0, 0.35 * speech_power)):
        estimate, reference = speech_and_noise(domain.forward(gain(value), clean + noise, clean))
        assert weighted_distortion(estimate, reference).item() == pytest.approx(expected, rel=1e-4)


def test_the_error_of_a_waveform_is_heard_without_emphasis():
    domain, clean = WaveformWindows(), 0.1 * torch.randn(1, 16384)
    for hz, drop in ((50, 25.9), (7900, -5.8)):  # |1 - 0.95 e^-jw| in dB
        tone = 0.01 * np.sqrt(2) * torch.sin(2 * torch.pi * hz * torch.arange(16384.0) / 16000)[None]
        estimate, reference = domain.cut(clean + tone), domain.cut(clean)
        assert waveform_error(estimate, reference).item() == pytest.approx(-19.9, abs=0.2)
        emphasised = (estimate - reference)[..., 1:].square().mean() / tone.square().mean()
        assert 10 * emphasised.log10().item() == pytest.approx(-drop, abs=0.5)


def test_inverted_results_and_wrong_levels_cost_more():
    """By all losses of the row `lean`: silence is better than the inverted speech, and half the level is in between."""
    torch.manual_seed(0)
    clean = torch.randn(1, 16000) * torch.linspace(0, 1, 16000)
    row = method("lean")

    def total(estimate):
        return float(sum(weight * loss(estimate, clean) for loss, weight in row.losses.values()))

    assert total(clean) < total(0.5 * clean) < total(-clean) and total(0 * clean) < total(-clean)
    assert losses.neg_threshold_snr(-clean, clean) > 6 > losses.neg_si_snr(-clean, clean)


def test_compressed_spectra_are_zero_for_equals_and_depend_on_the_phase():
    x = torch.randn(1, 8000)
    assert losses.compressed_spectra(x, x) == 0
    assert losses.compressed_spectra(-x, x) > 0.1
