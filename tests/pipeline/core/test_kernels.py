"""Parts of compiled functions, called as such."""

import numba
import numpy as np
import pytest

from clean_corpus.pipeline.core import kernels

by_two, by_three = (kernels.product_of(n, 4) for n in (2, 3))


def test_tanh_is_within_its_error():
    x = np.linspace(-12, 12, 10001, dtype=np.float32)
    assert np.abs([kernels.tanh(v) for v in x] - np.tanh(x.astype(np.float64))).max() < 4e-7


@numba.njit
def twice(points, weights, products):
    by_two(points, weights, products, 1, 4, 0)
    by_three(points, weights, products, 0, 0, 2 * kernels.WIDE)


@pytest.mark.parametrize("channels", [1, 5, 64])
def test_a_product_sets_its_rows_and_columns_and_no_other(channels):
    rng, wide = np.random.default_rng(0), kernels.WIDE
    points, weights = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8, channels), (2, channels, 5 * wide))
    )
    products = np.full((2, 8, 5 * wide), np.nan, np.float32)
    twice(points, weights, products)
    expected = np.full_like(products, np.nan)
    expected[1, 4:, : 2 * wide] = points[1, 4:] @ weights[1, :, : 2 * wide]
    expected[0, :4, 2 * wide :] = points[0, :4] @ weights[0, :, 2 * wide :]
    np.testing.assert_allclose(products, expected, rtol=1e-5, atol=1e-5)
