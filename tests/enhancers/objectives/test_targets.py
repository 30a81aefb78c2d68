"""Training targets: ideal masks give the clean spectrum back, targets compare what they say."""

import torch

from clean_corpus.enhancers.domains import ratio_mask, spectral
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


def test_the_compressed_complex_mask_as_the_networks_output_gives_the_clean_spectrum_back():
    """In nine bins of ten the parts of this mask lie within the limit of 10; the paper's K = 10 and C = 0.1."""
    row, clean, noise = method("cgcrn-crm"), torch.randn(1, 8000), torch.randn(1, 8000)
    run = row.domain.forward(lambda features: features.expand(-1, 2, -1, -1), clean + noise, clean)
    estimate, reference = row.target(run)
    assert estimate.shape == reference.shape == (1, 2, run.noisy_spec.shape[1], 161)
    mask = targets.complex_ratio_mask(run.clean_spec, run.noisy_spec)
    e = torch.exp(-0.1 * mask)
    assert torch.allclose(reference, 10 * (1 - e) / (1 + e), atol=1e-4)
    within = mask.abs().amax(1) < ratio_mask.CompressedRatioMask(STFT).limit
    back = row.domain.estimate(reference, run.noisy_spec)
    assert within.float().mean() > 0.9 and torch.allclose(back[within], run.clean_spec[within], atol=1e-3)


def test_magnitude_approximation_of_an_all_pass_mask():
    domain, x = MagnitudeMask(method("lstm-9.6m").domain.stft, "as_is"), torch.randn(2, 2000)
    estimate, reference = masked_magnitude(domain.forward(torch.ones_like, x, x))
    assert torch.equal(estimate, reference) and estimate.shape == (2, 23, 257)
