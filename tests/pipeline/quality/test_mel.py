"""Mel filters against librosa's."""

import numpy as np
import pytest
from librosa.filters import mel

from clean_corpus.pipeline.quality.mel import mel_filterbank


@pytest.mark.parametrize(("n_fft", "n_mels"), [(321, 120), (400, 40)])
def test_equals_librosa(n_fft, n_mels):
    ours = mel_filterbank(sample_rate=16000, n_fft=n_fft, n_mels=n_mels)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, mel(sr=16000, n_fft=n_fft, n_mels=n_mels).T)
