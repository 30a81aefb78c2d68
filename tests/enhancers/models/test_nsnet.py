"""NSNet: parameters, online normalisation."""

import pytest
import torch

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.models.nsnet import NSNet, OnlineNorm, decayed_sum
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 1_259_814),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: NSNet(**sizes)) == count


def test_wrong_features_are_refused_with_both_shapes():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(1, 1, 3, 161\): expected \(B, 1, T, 257\)"):
        NSNet()(torch.zeros((1, 1, 3, 161)))


def test_online_normalisation_is_the_plain_recursion():
    """Against weighted averages over all frames so far, written out; a new frame weighs 1, the last exp(-1 / 10)."""
    x = 5 + 2 * torch.randn(1, 40, 3, dtype=torch.float64)
    found = OnlineNorm(10.0)(x, Memory())
    for t in range(1, 40):
        weights = torch.exp(-torch.arange(t, -1, -1, dtype=torch.float64) / 10)[:, None]
        seen = x[0, : t + 1]
        mean = (weights * seen).sum(0) / weights.sum()
        variance = (weights * (seen - mean).square()).sum(0) / weights.sum()
        assert torch.allclose(found[0, t], (x[0, t] - mean) / variance.clamp_min(1e-2).sqrt(), atol=1e-9)


def test_online_normalisation_of_silence_is_silence():
    assert OnlineNorm(300.0)(torch.full((1, 2000, 4), -18.42), Memory()).abs().max() < 1e-3  # round-off / minimum


def test_decayed_sum_is_a_loop():
    x, y = torch.randn(2, 37, 3), torch.randn(2, 1, 3)
    found = decayed_sum(x, y, 0.9)
    for t in range(37):
        y = x[:, t : t + 1] + 0.9 * y
        assert torch.allclose(found[:, t : t + 1], y, atol=1e-5)
