"""Pre-emphasis and its inverse: one undoes the other, and steps of 8 bits are heard less after it."""

import numpy as np
import torch

from clean_corpus.vocoder.distributions import MuLaw
from clean_corpus.vocoder.emphasis import de_emphasised, emphasised
from tests.support.tones import tone


def test_the_inverse_gives_the_samples_back():
    x = tone(300)[:8000] * np.float32(0.5)
    there = emphasised(torch.as_tensor(x)[None], 0.85)
    assert np.abs(de_emphasised(there[0].numpy(), 0.85) - x).max() < 1e-5


def test_none_leaves_samples_as_they_are():
    x = torch.tensor([[0.5, -2.0]])
    assert emphasised(x, 0.0) is x and de_emphasised(x[0].numpy(), 0.0).tolist() == [0.5, -2.0]


def test_the_noise_of_eight_bits_is_weaker_above_2_khz():
    x, hz = tone(300)[:16000] * np.float32(0.5), np.fft.rfftfreq(16000, 1 / 16000)
    left = []
    for emphasis in (0.0, 0.85):
        quantised = MuLaw().quantised(emphasised(torch.as_tensor(x)[None], emphasis))[0].numpy()
        noise = np.abs(np.fft.rfft((de_emphasised(quantised, emphasis) - x) * np.hanning(16000)))
        left.append(float(np.sqrt(np.mean(noise[hz > 2000] ** 2))))
    assert left[1] < 0.5 * left[0]
