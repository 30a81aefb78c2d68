"""Complex masks: limit, product, compression, quotient, post-filter, level."""

import numpy as np
import pytest
import torch

from clean_corpus.enhancers.domains.masks import (
    compressed_gain,
    level_gain,
    limited,
    modulus,
    post_filter_gain,
    product,
    quotient,
)
from clean_corpus.enhancers.domains.spectral import CompressedComplex, Stft


def test_the_post_filter_lowers_small_masks_alone():
    modulus = torch.tensor([1e-9, 0.1, 0.5, 1.0, 1.7])
    mask = torch.stack((modulus * 0.6, modulus * -0.8))[None, :, None]
    gain = post_filter_gain(mask, 0.02)[0, 0, 0]
    wanted = [0, 1.02 / (1 + 0.02 / np.sin(np.pi * 0.05) ** 2), 1.02 / 1.04, 1, 1]
    assert gain.tolist() == pytest.approx(wanted, abs=1e-6)


def test_a_mask_is_limited_in_modulus_and_keeps_its_phase():
    mask = torch.randn(1, 2, 3, 4)
    found = limited(mask, 0.5)
    assert float(modulus(found).max()) <= 0.5 + 1e-6
    small = modulus(mask) <= 0.5
    assert torch.allclose(torch.where(small, found, 0), torch.where(small, mask, 0))
    assert torch.allclose(found / modulus(found), mask / modulus(mask), atol=1e-6)


def test_the_product_is_that_of_complex_numbers():
    a, b = torch.randn(2, 1, 2, 3, 4)
    expected = torch.complex(a[:, 0], a[:, 1]) * torch.complex(b[:, 0], b[:, 1])
    assert torch.allclose(product(a, b), torch.stack((expected.real, expected.imag), 1), atol=1e-6)


def test_a_mask_on_compressed_features_is_the_mask_on_the_spectrum_compressed():
    domain, spec = CompressedComplex(Stft(4, 2), power=0.5), torch.randn(1, 3, 3, dtype=torch.complex64)
    mask = torch.randn(1, 2, 3, 3)
    masked = torch.complex(mask[:, 0], mask[:, 1]) * spec
    found = compressed_gain(domain.features(spec), mask, 0.5)
    assert torch.allclose(found, domain.features(masked), atol=1e-5)


def test_the_quotient_is_the_mask_that_leads_to_the_estimate():
    estimate, noisy = torch.randn(2, 1, 3, 3, dtype=torch.complex64)
    mask = quotient(estimate, noisy)
    assert torch.allclose(torch.complex(mask[:, 0], mask[:, 1]) * noisy, estimate, atol=1e-3)
    assert not quotient(estimate, 0 * noisy).any()


@pytest.mark.parametrize(("scale", "expected"), [(0.95, 1 / 0.95), (1.05, 1 / 1.05), (0.1, 10**0.05), (10, 10**-0.05)])
def test_the_level_is_restored_within_a_decibel(scale, expected):
    speech = torch.randn(1, 50, 9, dtype=torch.complex64)
    assert level_gain(scale * speech, speech).item() == pytest.approx(expected, rel=1e-5)
