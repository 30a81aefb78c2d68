"""Training targets: ideal masks give the clean spectrum back, targets compare what they say."""

import torch

from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.domains.spectral import MagnitudeMask
from clean_corpus.enhancers.objectives import targets
from clean_corpus.enhancers.objectives.targets import masked_magnitude
from clean_corpus.enhancers.table import method

STFT = spectral.Stft(320, 160)


def test_the_ideal_masks_give_the_clean_spectrum_back():
    noisy, clean = STFT(torch.randn(1, 4000)), STFT(torch.randn(1, 4000))
    complex_mask = targets.complex_ratio_mask(clean, noisy)
    estimate = spectral.CompressedComplex(STFT).estimate(complex_mask, noisy)
    assert torch.allclose(estimate, clean, atol=1e-3)
    amplitude = targets.ideal_amplitude_mask(clean, noisy, limit=1e9)
    estimate = spectral.MagnitudeMask(STFT).estimate(amplitude.unsqueeze(1), noisy)
    assert torch.allclose(estimate.abs(), clean.abs(), atol=1e-3)
    assert float(targets.ideal_amplitude_mask(clean, noisy).max()) <= 10


def test_magnitude_approximation_of_an_all_pass_mask():
    domain, x = MagnitudeMask(method("lstm-9.6m").domain.stft, "as_is"), torch.randn(2, 2000)
    estimate, reference = masked_magnitude(domain.forward(torch.ones_like, x, x))
    assert torch.equal(estimate, reference) and estimate.shape == (2, 23, 257)
