"""FullBand: gains of at most 1, a causal variant that looks at no later frame, signals that do not mix in a batch."""

import pytest
import torch

from clean_corpus.enhancers.models.full_band import HIGH_BANDS, HIGH_BINS, LOW_BANDS, FullBand
from clean_corpus.enhancers.models.layers import Memory

BANDS = 2 * LOW_BANDS + HIGH_BANDS


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 1, 12, BANDS, generator=generator), torch.randn(2, 1, 12, HIGH_BINS, generator=generator)


def learnt(**sizes):
    """Return a network whose convolutions are not zero, as they are at the start of a training."""
    torch.manual_seed(0)
    network = FullBand(**sizes).eval()
    torch.nn.init.normal_(network.sharpen.weight, std=0.5)
    return network


@pytest.mark.parametrize(("sizes", "count"), [({}, 281_747), ({"causal": True, "hidden": 112}, 206_643)])
def test_the_number_of_parameters_is_that_of_the_docstring(sizes, count):
    assert sum(p.numel() for p in FullBand(**sizes).parameters()) == count <= 300_000


def test_an_untrained_network_passes_most_and_never_adds(inputs):
    gains = FullBand()(*inputs)
    assert gains.shape == (2, 1, 12, HIGH_BINS) and gains.min() > 0.5 and gains.max() < 1


def test_a_later_frame_changes_no_earlier_gain_of_the_causal_network(inputs):
    network = learnt(causal=True)
    later = [x.clone() for x in inputs]
    for x in later:
        x[:, :, 7:] += 1
    before, after = network(*inputs), network(*later)
    assert torch.equal(before[:, :, :7], after[:, :, :7]) and not torch.equal(before[:, :, 7:], after[:, :, 7:])


def test_frame_by_frame_the_causal_network_gives_the_same(inputs):
    network, state, parts = learnt(causal=True), (), []
    for t in range(12):
        memory = Memory(state)
        parts.append(network(*(x[:, :, t : t + 1] for x in inputs), memory))
        state = memory.state
    assert torch.allclose(torch.cat(parts, 2), network(*inputs), atol=1e-5)


def test_the_padding_of_a_batch_changes_nothing(inputs):
    network = learnt()
    short = [x[1:, :, :9].clone() for x in inputs]
    padded = [x.clone() for x in inputs]
    for x, part in zip(padded, short, strict=True):
        x[1, :, :9], x[1, :, 9:] = part[0], 0.0
    together, alone = network(*padded, frames=torch.tensor([12, 9])), network(*short, frames=torch.tensor([9]))
    # the convolution over neighbouring frames sees the logits of the padding beside the last one
    assert torch.allclose(together[1:, :, :8], alone[:, :, :8], atol=1e-5)


def test_other_bands_or_bins_are_refused(inputs):
    bands, bins = inputs
    with pytest.raises(ValueError, match="73 bands and 545 bins: expected 74 and 545"):
        FullBand()(bands[..., 1:], bins)
    with pytest.raises(ValueError, match="544"):
        FullBand()(bands, bins[..., 1:])
