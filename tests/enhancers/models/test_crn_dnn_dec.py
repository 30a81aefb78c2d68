"""CRN+DNN-DEC: parameters, and estimates that share the mixture."""

import torch

from clean_corpus.enhancers.complexity import parameters
from clean_corpus.enhancers.models.crn_dnn_dec import CRNDNNDEC


def test_the_encoders_serve_training_only():
    with torch.device("meta"):
        network = CRNDNNDEC()
    encoders = [p.numel() for name, p in network.named_parameters() if "_dae.encoder." in name]
    assert sum(encoders) == 1_291_464 and parameters(network) == 27_351_388


def test_the_estimates_are_shares_of_the_mixture():
    torch.manual_seed(0)
    network = CRNDNNDEC(
        channels=(2, 2, 4, 4, 4), units=8, hidden=(16, 16), speech_hidden=(16, 12), noise_hidden=(12, 12), code=6
    )
    x = torch.rand(2, 1, 5, 257)
    output = network(x)
    assert output.codes.shape == (2, 2, 5, 6) and output.estimates.shape == (2, 2, 5, 257)
    assert bool((output.estimates >= 0).all()) and bool((output.estimates.sum(1) <= x[:, 0] + 1e-6).all())
