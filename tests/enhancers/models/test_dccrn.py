"""DCCRN: parameters, the paper's decoder, sizes that cannot be."""

import pytest
import torch
from torch.nn import functional

from clean_corpus.enhancers.models.complex_layers import complex_cat
from clean_corpus.enhancers.models.dccrn import DCCRN
from clean_corpus.enhancers.models.layers import Memory
from tests.support.networks import parameter_count

PRINTED = (32, 64, 128, 128, 256, 256)
CL = (32, 64, 128, 256, 256, 256)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 3_742_973),
        ({"channels": PRINTED}, 3_982_317),
        ({"channels": CL, "lstm": "complex"}, 3_671_917),
        ({"norm": "real"}, 3_742_349),
        ({"norm": "real", "channels": PRINTED}, 3_981_581),
        ({"norm": "real", "channels": CL, "lstm": "complex"}, 3_671_053),
        ({"norm": "real", "channels": PRINTED, "lstm": "complex"}, 2_933_005),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: DCCRN(**sizes)) == count


def test_late_output_is_the_papers_decoder():
    """The paper keeps frames in place: each decoder layer makes T + 1 frames and drops the first."""
    torch.manual_seed(0)
    network, features = DCCRN(channels=(4, 4, 4, 8, 8, 8), units=8), torch.randn(1, 2, 20, 256)
    network(torch.randn(2, 2, 40, 256))  # moves the running statistics
    network.eval()

    def paper(x):
        encoded = []
        for conv, end in zip(network.encoder, network.encoder_ends, strict=True):
            x = end(conv(x, Memory()))
            encoded.append(x)
        x = network.middle(x.transpose(1, 2).flatten(2), Memory()).unflatten(2, (x.shape[1], -1)).transpose(1, 2)
        for conv, end in zip(network.decoder, network.decoder_ends, strict=True):
            x = functional.pad(complex_cat(x, encoded.pop()), (0, 0, 0, 1))
            x = end(conv(x, Memory())[:, :, 1:])
        return x

    with torch.inference_mode():
        assert torch.allclose(network(features)[:, :, 6:], paper(features)[:, :, :14], atol=1e-5)


def test_wrong_features_are_refused_with_both_shapes():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(1, 2, 3, 257\): expected \(B, 2, T, 256\)"):
        DCCRN()(torch.zeros((1, 2, 3, 257)))


def test_bins_that_cannot_be_halved_are_refused():
    with torch.device("meta"), pytest.raises(ValueError, match=r"257 bins cannot be halved \d times"):
        DCCRN(n_freq=257)


def test_odd_channels_are_refused():
    with torch.device("meta"), pytest.raises(ValueError, match="7 channels do not split"):
        DCCRN(channels=(7, 8))
