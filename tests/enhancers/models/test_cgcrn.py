"""CGCRN: parameters, causality, gradients, refusals."""

import pytest
import torch

from clean_corpus.enhancers import table
from clean_corpus.enhancers.models.cgcrn import CGCRN

TINY = {"channels": (4, 4, 8, 8, 16)}


@pytest.mark.parametrize(
    ("sizes", "count"),
    [({}, 3_764_307), ({"skip": "none"}, 3_676_515), ({"skip": "add"}, 3_676_515), ({"skip": "cat"}, 3_937_731),
     ({"groups": 1}, 6_910_035), ({"groups": 4}, 2_191_443), ({"out_channels": 2}, 3_764_406)],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert sum(p.numel() for p in CGCRN(**sizes).parameters()) == count


@pytest.mark.parametrize("skip", ["none", "add", "conv", "cat"])
def test_shape_is_kept_and_every_parameter_learns(skip):
    network = CGCRN(skip=skip, **TINY).eval()  # in training BatchNorm takes out biases before it: gradients of 0
    output = network(torch.rand(2, 1, 7, 161))
    assert output.shape == (2, 1, 7, 161) and bool((output >= 0).all())
    output.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["cgcrn", "cgcrn-cat-skips", "cgcrn-p4", "cgcrn-crm", "cgcrn-refined"])
def test_the_network_is_causal(name):
    """A changed frame leaves every earlier output frame bit-equal: look-ahead 0."""
    row = table.method(name)
    network = row.build(**TINY).eval()
    spec = torch.randn(1, 20, 161, dtype=torch.complex64)
    changed = spec.clone()
    changed[:, 12:] += 1
    with torch.inference_mode():
        before, after = network(row.domain.features(spec)), network(row.domain.features(changed))
    assert torch.equal(before[:, :, :12], after[:, :, :12])
    assert not torch.equal(before[:, :, 12:], after[:, :, 12:])


def test_wrong_features_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 129\): expected \(B, 1, T, 161\)"):
        CGCRN(**TINY)(torch.zeros(1, 1, 5, 129))
    with pytest.raises(ValueError, match="1024 bottleneck features do not split into 3"):
        CGCRN(groups=3)
