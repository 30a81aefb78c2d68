"""CRN: parameters as CRN, CRNN and SCRNN."""

import pytest
import torch

from clean_corpus.enhancers.models.crn import CRN, Decoder, Encoder
from clean_corpus.enhancers.models.layers import Memory, halved
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 17_579_459),
        ({"last_norm": False}, 17_579_457),
        ({"last_norm": False, "channels": (8, 16, 32, 64, 128)}, 4_399_585),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: CRN(**sizes)) == count


def test_the_decoder_mirrors_the_encoder():
    """Each level of the decoder has the bins of the encoder's input there, however odd."""
    sizes = halved(161, 5)
    encoded = Encoder(1, (2, 2, 2, 2, 2))(torch.rand(1, 1, 3, 161), Memory())
    assert [x.shape for x in encoded] == [(1, 2, 3, size) for size in sizes[1:]]
    output = Decoder((2, 2, 2, 2, 2), sizes, last_norm=False)(encoded[-1], encoded, Memory())
    assert output.shape == (1, 1, 3, 161)
