"""Convolutions by Winograd's minimal filters give what the plain sums do."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from clean_corpus.pipeline.quality import winograd


def layer(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution with zeros around, a bias and a rectifier: x (T, F, C), weights (O, C, 3, 3) -> (T, F, O)."""
    windows = sliding_window_view(np.pad(x.astype(np.float64), ((1, 1), (1, 1), (0, 0))), (3, 3), (0, 1))
    return np.maximum(np.einsum("tfcij,ocij->tfo", windows, weights) + bias, 0)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("inputs", "outputs"), [(32, 64), (16, 48), (48, 96)])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (2, 3), (9, 161), (12, 30)])
def test_a_layer_is_its_sums(size, inputs, outputs):
    weights, bias = drawn(outputs, inputs, 3, 3, seed=1), drawn(outputs, seed=2)
    x = winograd.empty_map(*size, inputs)
    x[1 : size[0] + 1, 1 : size[1] + 1] = drawn(*size, inputs)
    y = winograd.empty_map(*size, outputs)
    winograd.convolve(x, winograd.transformed(weights), bias, y, *size)
    inside = np.s_[1 : size[0] + 1, 1 : size[1] + 1]
    expected = layer(x[inside], weights, bias)
    assert np.abs(y[inside] - expected).max() < 1e-5 * np.abs(expected).max()
    y[inside] = 0
    assert not y.any()


@pytest.mark.parametrize("size", [(4, 4), (1, 2), (7, 161)])
def test_two_layers_of_an_image_are_their_sums(size):
    """The map between them ends at the image's edge, although the first layer's bias is anything but zero there."""
    first, first_bias = drawn(16, 1, 3, 3, seed=1), drawn(16, seed=2)
    weights, bias = drawn(32, 16, 3, 3, seed=3), drawn(32, seed=4)
    image, inside = drawn(*size), np.s_[1 : size[0] + 1, 1 : size[1] + 1]
    y = winograd.empty_map(*size, 32)
    y[size[0] + 1 :] = np.nan  # what a longer image left there
    x = np.zeros((len(y) + 2, y.shape[1] + 2), np.float32)
    x[2 : size[0] + 2, 2 : size[1] + 2] = image
    nine = np.ascontiguousarray(first[:, 0].transpose(1, 2, 0))
    winograd.convolve_image(x, nine, first_bias, winograd.transformed(weights), bias, y, *size)
    expected = layer(layer(image[..., None], first, first_bias), weights, bias)
    assert np.abs(y[inside] - expected).max() < 1e-5 * np.abs(expected).max()
    y[inside] = 0
    assert not y.any()


def test_weights_that_do_not_fit_are_refused():
    for shape in ((32, 8, 5, 5), (24, 8, 3, 3)):
        with pytest.raises(ValueError, match=r"expected \(O, C, 3, 3\), O a multiple of 32 or 48"):
            winograd.transformed(drawn(*shape))
