"""Separation of speech and noise: Wiener gains."""

import pytest
import torch

from clean_corpus.enhancers.domains.separation import wiener_gains


def test_wiener_gains_share_the_mixture_in_half_precision_too():
    gains = wiener_gains(torch.tensor([[300.0, -400.0]], dtype=torch.float16)[..., None, None])
    assert gains.flatten().tolist() == pytest.approx([0.36, 0.64])
