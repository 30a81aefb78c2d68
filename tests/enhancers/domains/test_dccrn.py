"""Domains of paper [003]: short windows, complex masks, log power."""

import pytest
import torch
from torch.nn import functional

from clean_corpus.enhancers.domains.dccrn import (
    ComplexMapping,
    ComplexMask,
    LogPowerMask,
)
from clean_corpus.enhancers.table import ENHANCERS

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "003"}
STFT_25MS, STFT_512_20MS = ROWS["dccrn-e"].domain.stft, ROWS["nsnet"].domain.stft


def spectrum(*shape):
    return torch.randn(*shape, 257, dtype=torch.complex64)


@pytest.mark.parametrize("stft", [STFT_25MS, STFT_512_20MS])
@pytest.mark.parametrize("n_samples", [1, 99, 100, 101, 4000, 4001])
def test_short_window_inverts_at_every_length(stft, n_samples):
    x = torch.randn(2, n_samples)
    spec = stft(x)
    assert spec.shape == (2, stft.n_frames(n_samples), 257)
    assert torch.allclose(stft.inverse(spec, n_samples), x, atol=1e-5)
    assert not stft(functional.pad(x, (0, 1000)))[:, spec.shape[1] :].any()  # every frame with signal was there


def test_short_window_stands_at_the_start_of_the_frame():
    impulse = torch.zeros(1, 1000)
    impulse[0, 500] = 1
    spec = STFT_25MS(impulse)[0]  # frame 5 begins 256 samples before sample 500, where the window is 256 in
    expected = torch.hann_window(400)[256] * (-1.0) ** torch.arange(257) + 0j  # half a frame of 512 is half a turn
    assert torch.allclose(spec[5], expected, atol=1e-5)
    assert spec.abs().sum(-1).nonzero().flatten().tolist() == [4, 5, 6, 7]  # four windows of 400 every 100


def one_bin(real, imag):
    return torch.tensor([real, imag]).reshape(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("R", 2 * 3 + 1j * -1 * 4), ("C", (2 - 1j) * (3 + 4j)), ("E", (2 - 1j) * (0.6 + 0.8j) * 0.9999092)],
)
def test_masks_know_their_answers(mask, expected):
    noisy = torch.tensor([[[5.0, 2 - 1j]]])
    estimate = ComplexMask(STFT_25MS, "as_is", mask).estimate(one_bin(3.0, 4.0), noisy)
    assert torch.allclose(estimate, torch.tensor([[[0, expected]]]), atol=1e-5)


def test_a_mask_of_zero_has_a_gradient():
    output = one_bin(0.0, 0.0).requires_grad_()
    ComplexMask(STFT_25MS, "as_is", "E").estimate(
        output, torch.ones(1, 1, 2, dtype=torch.complex64)
    ).real.sum().backward()
    assert output.grad.flatten().tolist() == [1.0, 0.0]


def test_complex_features_lack_dc_only_where_masked():
    spec = spectrum(1, 2)
    mapping, mask = ComplexMapping(STFT_25MS, "as_is"), ComplexMask(STFT_25MS, "as_is")
    assert torch.equal(mask.features(spec), mapping.features(spec)[..., 1:])
    assert torch.equal(mapping.estimate(mapping.features(spec), spec), spec)


def test_log_power_of_silence_is_finite():
    features = LogPowerMask(STFT_512_20MS, "as_is").features(torch.tensor([[[0, 3 + 4j]]]))
    assert features.flatten().tolist() == pytest.approx([-18.420681, 3.218876])
