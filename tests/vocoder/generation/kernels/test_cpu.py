"""Parts of the compiled loop: the layout of matrices, and constants that lie in two places."""

import numpy as np

from clean_corpus.vocoder import distributions
from clean_corpus.vocoder.generation.kernels import cpu


def test_a_matrix_is_laid_out_tile_by_tile():
    found = cpu.tiled(np.arange(6, dtype=np.float32).reshape(3, 2), 2)
    assert found.tolist() == [[[0, 2], [1, 3]], [[4, 0], [5, 0]]]


def test_the_narrowest_width_is_that_of_the_distributions():
    assert cpu.LOG_SCALE_MIN == distributions.LOG_SCALE_MIN
