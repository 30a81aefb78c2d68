"""Complex layers against arithmetic of complex numbers."""

import pytest
import torch
from torch.nn import functional

from clean_corpus.enhancers.models.complex_layers import (
    ComplexBatchNorm,
    ComplexConv,
    ComplexLSTM,
    ComplexUpConv,
)
from clean_corpus.enhancers.models.layers import Memory


def joined(x):
    """Halves of the channels as one complex tensor."""
    return torch.complex(*x.chunk(2, 1))


@pytest.mark.parametrize("kernel", [(2, 5), (3, 5), (5, 7)])
def test_complex_convolution_is_that_of_complex_numbers(kernel):
    layer, x = ComplexConv(6, 8, kernel=kernel), torch.randn(2, 6, 7, 16)
    weight = torch.complex(layer.real.weight, layer.imag.weight)
    padded = functional.pad(joined(x), (kernel[1] // 2, kernel[1] // 2, kernel[0] - 1, 0))
    bias = (1 + 1j) * layer.real.bias + (-1 + 1j) * layer.imag.bias  # added to both parts, as in eq. 1
    expected = functional.conv2d(padded, weight, stride=(1, 2)) + bias[:, None, None]
    assert torch.allclose(joined(layer(x, Memory())), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [(2, 5), (3, 6), (5, 7)])
def test_complex_transposed_convolution_is_that_of_complex_numbers(kernel):
    layer, x = ComplexUpConv(6, 8, kernel=kernel), torch.randn(2, 6, 7, 16)
    weight = torch.complex(layer.real.weight, layer.imag.weight)
    bias = (1 + 1j) * layer.real.bias + (-1 + 1j) * layer.imag.bias
    extra = (0, kernel[1] % 2)
    full = functional.conv_transpose2d(joined(x), weight, None, (1, 2), (0, (kernel[1] - 1) // 2), extra)
    output = joined(layer(x, Memory()))
    assert output.shape == (2, 4, 7, 32)
    assert torch.allclose(output, full[:, :, :7] + bias[:, None, None], atol=1e-5)


def test_complex_lstm_follows_its_equations():
    layer, x = ComplexLSTM(6, 4), torch.randn(2, 5, 6)
    real, imag = x.chunk(2, -1)
    output = layer(x, Memory())
    assert torch.allclose(output[..., :2], layer.real(real)[0] - layer.imag(imag)[0], atol=1e-6)
    assert torch.allclose(output[..., 2:], layer.imag(real)[0] + layer.real(imag)[0], atol=1e-6)


def test_complex_batch_norm_whitens():
    """In training its output has no mean and covariance I / 2; in use the inverse root of what it saw applies."""
    norm, x = ComplexBatchNorm(4, momentum=1.0), torch.randn(8, 4, 50, 3)
    x[:, 2:] = 3 * x[:, 2:] + 0.5 * x[:, :2] + 7  # imaginary part follows the real one
    y = norm(x)
    pairs = y.unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)  # (channel, part, all)
    assert torch.allclose(pairs.mean(-1), torch.zeros(2, 2), atol=1e-5)
    for channel in pairs:
        assert torch.allclose(torch.cov(channel, correction=0), torch.eye(2) / 2, atol=1e-4)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([[1.0, 2.0], [0.5, 0.0], [3.0, 1.0]]))
        norm.shift.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    parts = x.unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)
    values, vectors = torch.linalg.eigh(torch.stack([torch.cov(c, correction=0) for c in parts]) + 1e-5 * torch.eye(2))
    whiten = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    scale = torch.tensor([[[1.0, 0.5], [0.5, 3.0]], [[2.0, 0.0], [0.0, 1.0]]])
    shift = torch.tensor([[1.0, 3.0], [2.0, 4.0]])
    expected = scale @ whiten @ (parts - parts.mean(-1, keepdim=True)) + shift[..., None]
    found = norm.eval()(x).unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)
    assert torch.allclose(found, expected, atol=1e-3)  # float32 eigenvectors


def test_complex_batch_norm_survives_parts_that_agree():
    x = torch.randn(2, 1, 5, 3)
    for parts in (torch.cat((x, x), 1) * 1e4, torch.zeros(2, 2, 5, 3)):
        assert torch.isfinite(ComplexBatchNorm(2)(parts)).all()
